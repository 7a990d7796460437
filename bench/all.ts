import { benchApiServer } from "./api-server.ts";
import { benchCni } from "./cni.ts";
import { benchFirstPacket } from "./first-packet.ts";
import { benchFlows } from "./flows.ts";
import { benchJoin } from "./join.ts";
import { benchKubernetes } from "./kubernetes.ts";
import { benchPolicy } from "./policy.ts";
import { benchPolicyCompile } from "./policy-compile.ts";
import { benchReach } from "./reach.ts";
import { benchReconcile } from "./reconcile.ts";
import type { Row } from "./report.ts";
import type { Bench } from "./run.ts";
import { benchSwitch } from "./switch.ts";
import { benchThroughput } from "./throughput.ts";

export interface Benchmark {
  readonly title: string;
  /** What is compared with what, and how it is measured. Markdown. */
  readonly about: string;
  run(bench: Bench): Promise<Row[]>;
}

export const benches = {
  cni: {
    title: "CNI ADD and DEL",
    about:
      "Whole process of the plugin, from posix_spawn to its end, against Debian's `bridge` with `host-local`. They take " +
      "turns, each in a node's network namespace of its own; IPv4, no masquerade by the plugin. The second of Debian's " +
      "configurations is what Flannel's plugin delegates to. Processor time is that of the plugin and whatever works for " +
      "it: the agent on one side, `host-local` on the other. The last rows: what a process costs in which nothing " +
      "happens, our launcher's and a compiled Bun program's.",
    run: benchCni,
  },
  throughput: {
    title: "Pod to pod",
    about:
      "One TCP stream (`iperf3`) and one datagram there and back at a time, through a lab's cluster and through the same " +
      "topology with the same masquerade and forwarding rules laid by hand with `ip` and `nft` (`bench/by-hand.ts`). " +
      "Both ends run on one processor, so that what is compared is the work that a byte costs.",
    run: benchThroughput,
  },
  reconcile: {
    title: "Many nodes",
    about:
      "One node's agent, VXLAN, and peers that are leases in its embedded datastore: until every route, neighbour and FDB " +
      "entry is in the kernel; what one node more costs; what a restart writes when everything is in place. Read back from " +
      "the kernel, except for the writes, which the agent counts. Processor time is the kernel's count for the agent's " +
      "process; at rest it asks 20 other agents a second, of which none answers here. Memory is what no other process shares.",
    run: benchReconcile,
  },
  join: {
    title: "A node joins",
    about:
      "A node without anything joins a cluster of simulated peers, VXLAN with masquerade: from the start of the daemon's " +
      "process until every route, neighbour and FDB entry is in the kernel, read back from the kernel. In turns with " +
      "flanneld v0.26.7, which reads the same leases from an etcd on the same machine; ours from the embedded datastore.",
    run: benchJoin,
  },
  switch: {
    title: "A backend is switched",
    about:
      "One node's agent among peers that are leases in its embedded datastore, and go from VXLAN with VNI 1 to VNI 7, so that " +
      "everything in the kernel changes. The peers' leases go through the states of `docs/design/live-switch.md`, all of them " +
      "at once, and what the agent does then is measured: time from the last lease written until the kernel and the agent's " +
      "own lease are so, and the processor time for the step with all of its news.",
    run: benchSwitch,
  },
  reach: {
    title: "A new pod is reached",
    about:
      "In a lab's cluster of two nodes with a router and VXLAN between them: a pod asks for the address that the other " +
      "node will give out next, one ICMP echo request a millisecond, while that node's CNI plugin is called for a new pod.",
    run: benchReach,
  },
  flows: {
    title: "What flow logging costs",
    about:
      "Two pods of one node, rules that label first packets and report denied ones as policy's do, and the agent's part that keeps " +
      "flows in a process of its own. First in turns, with and without it; then what it spends itself, and that a flood costs it no more.",
    run: benchFlows,
  },
  kubernetes: {
    title: "Pods of Kubernetes",
    about:
      "From the request that creates a pod until its watcher sees that it is Ready, on one node of a real Kubernetes 1.36 " +
      "(`twill lab up --kubernetes`), past the scheduler, without probes. In turns with Debian's `bridge` and `host-local` on the " +
      "same node: one file in /etc/cni/net.d is the difference. Most of the time is kubelet's and containerd's; kubelet " +
      "looks once a second which containers run.",
    run: benchKubernetes,
  },
  "api-server": {
    title: "Many agents at one API server",
    about:
      "A real kube-apiserver 1.36 and etcd, Nodes as large as real ones (50 images each) whose kubelets report every 5 " +
      "minutes, and an agent for each, with the store's own code, in 4 processes on the same machine; then one real " +
      "agent in that cluster. Processor times are the API server's own count; bytes are those of the JSON, before TLS. " +
      "Everything shares this machine's processors, so the times of starts and restarts are those of the agents " +
      "themselves as well.",
    run: benchApiServer,
  },
  policy: {
    title: "Policy: from an object to the kernel",
    about:
      "A whole agent (`--attachment=foreign`) with 30,000 pods of 6,000 kinds on 1,000 nodes, 30,000 policies and 110 pods here, all of them objects " +
      "in its embedded datastore. Times run from the datastore's acknowledgement of a change until the kernel's ruleset is another one " +
      "(the generation of nf_tables, asked all the time on the other processor).",
    run: benchPolicy,
  },
  "policy-compile": {
    title: "Policy: what a change costs the engine",
    about:
      "The engine alone, without datastore and kernel: from entries of the model that changed to the rows that are other, in " +
      "processor time of the process, collection of garbage included. First a cluster of 1,000 nodes, 30,000 pods of 6,000 " +
      "kinds and 30,000 policies, seen from a node with 110 pods; then the worst cases: time and rows of the start, and " +
      "memory, then single events.",
    run: benchPolicyCompile,
  },
  "first-packet": {
    title: "First packets under policy",
    about:
      "TCP connections between two pods of one node, one after the other, both ends judged: the time of connect(2), which is " +
      "that of the first packet, its answer and the third. Half of the rules are NetworkPolicies' egress rules of the client, half " +
      "ingress rules of the server, each for another pod on the same port, compiled and loaded as the agent does it; beside them as " +
      "many rules in a plain nf_tables chain, the last of which matches, and no policy at all (connections are tracked all the " +
      "same). In turns of 25 on one processor; the ratio is of the turns' lower parts (15 %), for what disturbs a connection only " +
      "makes it longer.",
    run: benchFirstPacket,
  },
} as const satisfies Record<string, Benchmark>;

export type BenchName = keyof typeof benches;

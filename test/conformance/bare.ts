import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { PolicyCompiler } from "../../src/compile/policy/compiler.ts";
import { PolicyBook } from "../../src/intent/kubernetes/policy-book.ts";
import type { PolicyOptions } from "../../src/render/policy/options.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import type { KubernetesObject, NodeObject, PodObject } from "../oracle/objects.ts";
import { deleteObject, putObject } from "../oracle/twill-model.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { allPods, servedPorts } from "./probe.ts";
import { BareCluster } from "./rig/bare-cluster.ts";
import * as plan from "./rig/plan.ts";
import { type ProbePlace, Prober } from "./rig/prober.ts";
import { serviceAddresses, serviceOf } from "./services.ts";
import { containerPorts, podLabels, standardNamespaces } from "./standard.ts";

/** An address of the machine that is no part of the cluster. */
export const outsideAddresses = ["198.51.100.9", "2001:db8::9"].map(parseAddress);

/**
 * The matrix on bare namespaces: objects are read, compiled and rendered as an agent does it, at once, and nothing else runs. Pods are
 * spread over three nodes. Besides the pods there are "n1" to "n3" and "outside".
 */
export function bareCluster(options: Partial<PolicyOptions> = {}): ConformanceCluster & { readonly rig: BareCluster } {
  const rig = new BareCluster(3);
  const book = new PolicyBook();
  const pods = new Map(
    allPods.map((name, index) => [name, podObject(name, (index % 3) + 1, plan.firstHost + Math.floor(index / 3))]),
  );
  const nodes = rig.nodes.map(({ name, number, nft }) => {
    const compiler = new PolicyCompiler(book.model, { node: name });
    for (const [pod, { spec, status }] of pods) {
      if (spec.nodeName === name)
        compiler.attach(
          pod,
          (status.podIPs ?? []).map(({ ip }) => parseAddress(ip)),
        );
    }
    const keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
    return { name, number, compiler, keeper };
  });
  const rendered: PolicyOptions = { established: "keep", deny: "drop", podInterfaces: "twl", ...options };
  const sync = (): void => {
    const change = book.takeChange();
    for (const { compiler, keeper } of nodes) {
      compiler.update(change);
      keeper.apply(new PolicyRendering(rendered).table(compiler.state));
    }
  };
  const put = (objects: readonly KubernetesObject[]): void => {
    for (const object of objects) putObject(book, object);
    sync();
  };
  put([...standardNamespaces, ...rig.nodes.map(({ number }) => nodeObject(number)), ...pods.values()]);
  const places = placesOf(rig, pods);
  const prober = new Prober(places, allPods, servedPorts);
  return {
    name: "bare namespaces",
    rig,
    settles: 0,
    addressesOf: (party) => places.get(party)?.addresses ?? [],
    nodes: rig.nodes.map(({ name }) => name),
    isReached: () => true,
    nodeOf: (pod) => pods.get(pod)?.spec.nodeName ?? "",
    apply: async (objects) => put(objects),
    remove: async (objects) => {
      for (const object of objects) deleteObject(book, object);
      sync();
    },
    relabel: async (name, labels) => {
      const pod = pods.get(name);
      if (pod !== undefined) put([{ ...pod, metadata: { ...pod.metadata, labels } }]);
    },
    probe: async (probes, expected) => prober.probe(probes, expected),
    close: async () => {
      prober.close();
      rig.close();
    },
  };
}

/** A node by an address of its own that nobody has told the policy's compiler of. */
export const elsewhere = (node: string): string => `${node}, by another address`;

function placesOf(rig: BareCluster, pods: ReadonlyMap<string, PodObject>): Map<string, ProbePlace> {
  const places = new Map<string, ProbePlace>();
  for (const [name, { status }] of pods) {
    const addresses = (status.podIPs ?? []).map(({ ip }) => parseAddress(ip));
    const [first] = addresses;
    if (first !== undefined) places.set(name, { netns: rig.owner(first).fd, addresses });
  }
  for (const { name, number, netns } of rig.nodes) {
    places.set(name, { netns: netns.fd, addresses: plan.underlay(number) });
    places.set(elsewhere(name), { netns: netns.fd, addresses: plan.furtherAddresses(number).slice(0, 1) });
  }
  // Answers come from whom the Service stands for; sockets ask for the Service's address, in nobody's namespace.
  for (const name of pods.keys()) {
    places.set(serviceOf(name), { netns: rig.outside.fd, addresses: serviceAddresses(name) });
  }
  places.set("outside", { netns: rig.outside.fd, addresses: outsideAddresses });
  return places;
}

const nodeObject = (number: number): NodeObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: plan.nodeName(number), labels: { "kubernetes.io/hostname": plan.nodeName(number) } },
  spec: { podCIDRs: Object.values(plan.podNetwork(number)) },
  status: { addresses: plan.underlay(number).map((address: Address) => ({ type: "InternalIP", address })) },
});

function podObject(name: string, node: number, host: number): PodObject {
  const [namespace = "", pod = ""] = name.split("/");
  const addresses = plan.podAddresses(node, host);
  const [first] = addresses;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod, namespace, labels: podLabels(pod) },
    spec: { nodeName: plan.nodeName(node), containers: [{ name: "served", ports: containerPorts(pod) }] },
    status: {
      phase: "Running",
      ...(first === undefined ? {} : { podIP: first }),
      podIPs: addresses.map((ip) => ({ ip })),
    },
  };
}

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onDisk } from "../../lab/node-disk.ts";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { decodeSwitchTarget } from "../../src/intent/flannel/switch-target.ts";
import { TestLab } from "../lab/support.ts";
import { FlannelNode } from "./flanneld.fixture.ts";

setDefaultTimeout(180_000);

/**
 * One cluster, two pod networks: node1 and node2 run Twill, node3 a real flanneld. node1 and node3 share a subnet, node2
 * is behind a router. What each says of itself is in its Node's annotations, and nothing else joins them.
 */
const lab = new TestLab();
const flannel = new FlannelNode(lab, "node3");
/** Those that are there now. */
const twillNodes = new Set(["node1", "node2"]);
const network = "10.244.0.0/16";
const vxlan = { Network: network, Backend: { Type: "vxlan" } };
const directRouting = { Network: network, Backend: { Type: "vxlan", DirectRouting: true } };
const hostGateway = { Network: network, Backend: { Type: "host-gw" } };

const probe = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "probe" },
  spec: {
    selector: { matchLabels: { app: "probe" } },
    template: {
      metadata: { labels: { app: "probe" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        tolerations: [{ operator: "Exists" }],
        containers: [{ name: "pause", image: "registry.k8s.io/pause:3.10" }],
      },
    },
  },
};

const notOnFlannel = [{ key: "kubernetes.io/hostname", operator: "NotIn", values: [flannel.name] }];
const required = { nodeSelectorTerms: [{ matchExpressions: notOnFlannel }] };
const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };

const kubectl = (...args: string[]): Promise<string> => lab.do("exec", "control", "--", "kubectl", ...args);
const twill = (...args: string[]): Promise<string> => kubectl("-n", "twill-system", ...args);
const onNode = (node: string, command: string): Promise<string> => lab.do("exec", node, "--", "sh", "-c", command);
const rolledOut = (): Promise<string> => twill("rollout", "status", "daemonset/twill-agent", "--timeout=120s");

interface Path {
  readonly from: string;
  readonly to: string;
  readonly relation: string;
  readonly works: boolean;
  readonly faults: readonly string[];
  readonly path?: string;
  readonly mtu?: number;
}

/** Between pods: "node1>node3" → "vxlan 1450". What does not work says why. */
type Reach = Readonly<Record<string, string>>;

/**
 * All that is between these nodes and their pods must come to work: TCP, UDP, ICMP, sources kept. @throws Error with what
 * does not after a minute.
 */
async function reach(...nodes: string[]): Promise<Reach> {
  const { items } = JSON.parse(await kubectl("get", "pods", "-l", "app=probe", "-o", "json")) as Pods;
  const nodeOf = new Map(items.map(({ metadata, spec }) => [`default/${metadata.name}`, spec.nodeName]));
  const ends = ({ from, to }: Path) => [nodeOf.get(from) ?? from, nodeOf.get(to) ?? to];
  for (const deadline = performance.now() + 60_000; ; await Bun.sleep(300)) {
    const { stdout } = await lab.run("check", "--json");
    const { paths } = JSON.parse(stdout) as { readonly paths: readonly Path[] };
    const wanted = paths.filter((path) => ends(path).every((end) => end === "outside" || nodes.includes(end)));
    const pods = wanted.filter(({ relation }) => relation === "pod-pod");
    const broken = wanted.filter(({ works }) => !works);
    if (broken.length === 0 && pods.length === nodes.length * (nodes.length - 1))
      return Object.fromEntries(pods.map((path) => [ends(path).join(">"), `${path.path} ${path.mtu}`]));
    if (performance.now() > deadline)
      throw new Error(broken.map((path) => `${ends(path).join(" > ")}: ${path.faults.join("; ")}`).join("\n"));
  }
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly spec: { readonly nodeName: string };
  }[];
}

async function annotationsOf(node: string): Promise<Readonly<Record<string, string>>> {
  const { metadata } = JSON.parse(await kubectl("get", "node", node, "-o", "json")) as Node;
  return metadata.annotations;
}
const podCidrOf = (node: string): Promise<string> => kubectl("get", "node", node, "-o", "jsonpath={.spec.podCIDR}");

interface Node {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 90_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not after 90 s: ${what}\n${flannel.log.slice(-3000)}`);
    await Bun.sleep(300);
  }
}

/** Both networks' configuration anew, and pods with the MTU that goes with it. */
async function change(to: object): Promise<void> {
  await kubectl("delete", "daemonset", "probe");
  await until("the pods are gone", async () => (await kubectl("get", "pods", "-l", "app=probe", "-o", "name")) === "");
  await flannel.stop();
  // While a flanneld is in the cluster, Twill refuses to change: it could not be done without loss.
  await kubectl("annotate", "node", flannel.name, "flannel.alpha.coreos.com/kube-subnet-manager-");
  const patch = { data: { "net-conf.json": JSON.stringify(to) } };
  await twill("patch", "configmap", "twill-config", "--type=merge", `--patch=${JSON.stringify(patch)}`);
  const changed = JSON.stringify(parseNetConf(JSON.stringify(to)).backend);
  await until("Twill's nodes have changed", async () => {
    const { target, leases } = await changeOf();
    const network = target?.configs.get(target.id);
    return (
      JSON.stringify(network?.backend) === changed &&
      leases.every(({ standing }) => standing?.sends === target?.id && standing?.offers.length === 1)
    );
  });
  // As its documentation tells people to do: flanneld and the bridge plugin leave both behind.
  await flannel.exec("sh", "-c", "ip link del flannel.1; ip link del cni0; true");
  await flannel.start(to);
  await rolledOut();
  await startProbes();
}

/** What Twill's agents agree on, and where each stands. */
async function changeOf() {
  const text = await twill("get", "configmap", "twill-switch", "-o", "jsonpath={.data.target}");
  const nodes = await Promise.all([...twillNodes].map((name) => annotationsOf(name)));
  const bytes = (written = "") => new TextEncoder().encode(written);
  return {
    target: text === "" ? undefined : decodeSwitchTarget(bytes(text), { allowExtension: true }),
    leases: nodes.map((annotations) => decodeLease(bytes(annotations["twill.dev/node"]))),
  };
}

async function startProbes(): Promise<void> {
  const file = join(lab.directory, "probe.json");
  writeFileSync(file, JSON.stringify(probe));
  await kubectl("apply", "-f", file);
  await kubectl("rollout", "status", "daemonset/probe", "--timeout=90s");
}

beforeAll(async () => {
  const file = join(lab.parent, "net-conf.json");
  writeFileSync(file, JSON.stringify(vxlan));
  await lab.do("up", "--kubernetes", "--nodes", "2", "--subnets", "2", "--config", file);
  rmSync(file);
  const patch = { spec: { template: { spec: { affinity } } } };
  await twill("patch", "daemonset", "twill-agent", `--patch=${JSON.stringify(patch)}`);
  await flannel.install();
  await lab.do("node", "add", flannel.name, "--subnet", "1");
  await flannel.start(vxlan);
  await rolledOut();
  await startProbes();
}, 300_000);
afterAll(() => lab[Symbol.asyncDispose]());

test("vxlan: all reach all, through tunnels", async () => {
  expect(await reach("node1", "node2", "node3")).toEqual({
    "node1>node2": "vxlan 1450",
    "node1>node3": "vxlan 1450",
    "node2>node1": "vxlan 1450",
    "node2>node3": "vxlan 1450",
    "node3>node1": "vxlan 1450",
    "node3>node2": "vxlan 1450",
  });
});

test("Nodes carry the same annotations, whoever wrote them, and Twill's one more", async () => {
  const flannels = (annotations: Readonly<Record<string, string>>) =>
    Object.keys(annotations).filter((key) => key.startsWith("flannel.alpha.coreos.com/"));
  const [twills, theirs] = [await annotationsOf("node1"), await annotationsOf("node3")];
  expect(flannels(twills).sort()).toEqual(flannels(theirs).sort());
  expect([Object.keys(twills).includes("twill.dev/node"), Object.keys(theirs).includes("twill.dev/node")]).toEqual([
    true,
    false,
  ]);
  const mac = (await onNode("node1", "cat /sys/class/net/flannel.1/address")).trim();
  expect(JSON.parse(twills["flannel.alpha.coreos.com/backend-data"] ?? "")).toEqual({ VNI: 1, VtepMAC: mac });
});

test("a new Ethernet address of either's tunnel is followed by the other", async () => {
  const macOf = async (node: string) => (await onNode(node, "cat /sys/class/net/flannel.1/address")).trim();
  const before = [await macOf("node1"), await macOf("node3")];
  // flanneld takes it from its annotation again, where there is one.
  await flannel.stop();
  await kubectl("annotate", "node", "node3", "flannel.alpha.coreos.com/backend-data-");
  await flannel.exec("ip", "link", "del", "flannel.1");
  await flannel.start(vxlan);
  // Twill keeps its address in its state: without it, it is a node that was installed anew.
  rmSync(onDisk(join(lab.directory, "nodes", "node1"), "/var/lib/twill/node.json"));
  await twill("delete", "pods", "--field-selector=spec.nodeName=node1");
  await rolledOut();
  await until("both have new addresses", async () => {
    const now = [await macOf("node1"), await macOf("node3")];
    return !now.some((mac) => before.includes(mac));
  });
  await reach("node1", "node2", "node3");
});

test("public-ip-overwrite of either is where the other sends", async () => {
  const key = "flannel.alpha.coreos.com/public-ip-overwrite";
  const [ours, theirs] = ["192.168.1.211", "192.168.1.213"];
  await onNode("node1", `ip address add ${ours}/24 dev eth0`);
  await onNode("node3", `ip address add ${theirs}/24 dev eth0`);
  await kubectl("annotate", "node", "node1", `${key}=${ours}`);
  await kubectl("annotate", "node", "node3", `${key}=${theirs}`);
  await flannel.stop(); // it looks at its start
  await flannel.start(vxlan);
  const sendsTo = async (node: string) =>
    [...(await onNode(node, "bridge fdb show dev flannel.1")).matchAll(/ dst (\S+)/g)].map(([, address]) => address);
  await until("node3 sends to the address of node1", async () => (await sendsTo("node3")).includes(ours));
  await until("node1 sends to the address of node3", async () => (await sendsTo("node1")).includes(theirs));
  expect((await annotationsOf("node1"))["flannel.alpha.coreos.com/public-ip"]).toBe(ours);
  await reach("node1", "node2", "node3");
  await kubectl("annotate", "node", "node1", `${key}-`);
  await until("node3 sends to node1's own address", async () => (await sendsTo("node3")).includes("192.168.1.11"));
  await kubectl("annotate", "node", "node3", `${key}-`);
});

test("vxlan with DirectRouting: the same subnet without the tunnel, another with it", async () => {
  await change(directRouting);
  expect(await reach("node1", "node2", "node3")).toEqual({
    "node1>node2": "vxlan 1450",
    "node1>node3": "direct 1450",
    "node2>node1": "vxlan 1450",
    "node2>node3": "vxlan 1450",
    "node3>node1": "direct 1450",
    "node3>node2": "vxlan 1450",
  });
});

/** What a node's kernel holds for the others. */
const kernelOf = (node: string): Promise<string> =>
  onNode(node, "ip route; ip neigh show dev flannel.1; bridge fdb show dev flannel.1");

test("flanneld's node is scrapped, and another comes under its name", async () => {
  const before = await podCidrOf("node3");
  await lab.do("node", "del", "node3");
  await kubectl("delete", "node", "node3");
  await until("node1 forgets node3", async () => {
    const kernel = await kernelOf("node1");
    return !kernel.includes("192.168.1.13") && !kernel.includes(before);
  });
  await lab.do("node", "add", "node3", "--subnet", "1");
  await flannel.start(directRouting);
  await kubectl("rollout", "status", "daemonset/probe", "--timeout=90s");
  await reach("node1", "node2", "node3");
});

test("host-gw, once nobody is behind the router: the same subnet, whole packets", async () => {
  const before = await podCidrOf("node2");
  await lab.do("node", "del", "node2");
  await kubectl("delete", "node", "node2");
  twillNodes.delete("node2");
  await until("flanneld forgets node2", async () => !(await kernelOf("node3")).includes(before));
  await change(hostGateway);
  expect(await reach("node1", "node3")).toEqual({ "node1>node3": "direct 1500", "node3>node1": "direct 1500" });
});

test("Twill's node returns, and all reach all again", async () => {
  await change(vxlan);
  await lab.do("node", "add", "node2", "--subnet", "2");
  twillNodes.add("node2");
  await until("node2 is Ready", async () => /^node2 +Ready/m.test(await kubectl("get", "nodes")));
  await rolledOut();
  await kubectl("rollout", "status", "daemonset/probe", "--timeout=90s");
  await reach("node1", "node2", "node3");
});

test("flanneld saw nothing of ours that it could not read", () => {
  const complaints = flannel.log.split("\n").filter((line) => /^[EF]\d{4} |error decoding|Error turning/.test(line));
  // It was stopped, and host-gw cannot cross a router.
  const expected = /could not watch leases: context canceled|Error adding route to .* network is unreachable/;
  expect(complaints.filter((line) => !expected.test(line))).toEqual([]);
});

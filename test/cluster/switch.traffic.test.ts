import { afterAll, beforeAll, expect, test } from "bun:test";
import { readRecord } from "../../lab/directory.ts";
import { onDisk } from "../../lab/node-disk.ts";
import { parseAddress } from "../../src/base/address.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { closeFile, O_RDONLY, openFile } from "../../src/kernel/file.ts";
import { describeNetwork } from "../../src/switch/describe.ts";
import { losses, Traffic } from "../faults/traffic.fixture.ts";
import { type PodObject, TestCluster, until, upCluster } from "./cluster.fixture.ts";
import { namespaceOf, stayingPods } from "./traffic.fixture.ts";

/**
 * A real cluster changes its backend while pods talk: one datagram a millisecond, as long as the path allows, and a TCP stream
 * on each pair, counted. All nodes are on one link, so that host-gw is possible. TWILL_TEST_ONE_LINK: one that runs already.
 */

const patience = 600_000;
let cluster: TestCluster;
const open: number[] = [];

beforeAll(async () => {
  const running = process.env.TWILL_TEST_ONE_LINK;
  cluster = running === undefined ? await upCluster("--subnets=1") : new TestCluster(running);
}, patience);
afterAll(async () => {
  for (const fd of open) closeFile(fd);
  if (process.env.TWILL_TEST_ONE_LINK === undefined) await cluster?.lab("down");
}, patience);

const wanted = (backend: object): string => JSON.stringify({ Network: "10.244.0.0/16", Backend: backend });
/** As `kubectl edit configmap` does. */
const edit = (text: string) =>
  cluster.kubectl(
    ...["-n", "twill-system", "patch", "configmap", "twill-config", "--type=merge"],
    ...["-p", JSON.stringify({ data: { "net-conf.json": text } })],
  );

/** The namespace of a pod of containerd's, seen through the lab's first process, in whose mount namespace it is bound. */
async function netnsOf(pod: PodObject): Promise<number> {
  const node = pod.spec.nodeName ?? "";
  const name = await namespaceOf(cluster, node, pod.status.podIP ?? "");
  const init = readRecord(cluster.directory)?.init?.pid;
  const fd = openFile(
    `/proc/${init}/root${onDisk(`${cluster.directory}/nodes/${node}`, `/run/netns/${name}`)}`,
    O_RDONLY,
  );
  open.push(fd);
  return fd;
}

/** Every node sends by that configuration, and receives by nothing else. */
async function settled(config: string): Promise<void> {
  const words = ["-n", "twill-system", "exec", "ds/twill-agent", "-c", "agent", "--", "twill", "backend", "status"];
  const goal = `to ${describeNetwork(parseNetConf(config))}:`;
  let said = "";
  const isDone = async () => {
    const { status, stdout, stderr } = await cluster.run("exec", "control", "--", "kubectl", ...words);
    said = stdout + stderr;
    return status === 0 && stdout.startsWith(goal);
  };
  await until(goal, isDone, 120).catch((error) => {
    throw new Error(`${error.message}: ${said}`);
  });
}

test(
  "vxlan, DirectRouting, host-gw and back, by editing the ConfigMap: no datagram lost, no stream broken",
  async () => {
    await edit(wanted({ Type: "vxlan" }));
    await settled(wanted({ Type: "vxlan" }));
    const pods = await stayingPods(cluster);
    const on = (node: string, prefix: string): PodObject => {
      const found = pods.find(({ metadata, spec }) => spec.nodeName === node && metadata.name.startsWith(prefix));
      if (found === undefined) throw new Error(`no ${prefix} on ${node}`);
      return found;
    };
    const ways = [
      [on("node1", "stay-a"), on("node1", "stay-b")],
      [on("node1", "stay-a"), on("node2", "stay-a")],
      [on("node2", "stay-a"), on("node1", "stay-b")],
      [on("node3", "stay-a"), on("node2", "stay-b")],
    ] as const;
    const pairs = await Promise.all(
      ways.map(async ([from, to]) => ({
        name: `${from.metadata.name} on ${from.spec.nodeName} → ${to.metadata.name} on ${to.spec.nodeName}`,
        from: await netnsOf(from),
        to: await netnsOf(to),
        source: parseAddress(from.status.podIP ?? ""),
        destination: parseAddress(to.status.podIP ?? ""),
      })),
    );
    const traffic = new Traffic(pairs, { fullSize: true });
    const story: string[] = [];
    await Bun.sleep(1_000);
    for (const backend of [
      { Type: "vxlan", DirectRouting: true },
      { Type: "host-gw" },
      { Type: "vxlan" },
      { Type: "vxlan", VNI: 7, Port: 4790 },
      { Type: "vxlan" },
    ]) {
      await edit(wanted(backend));
      await settled(wanted(backend));
      story.push(`${JSON.stringify(backend)}: under way ${traffic.pending}`);
      const route = await cluster.on("node1", "ip", "route", "show", "proto", "84");
      const tunnelled = backend.Type === "vxlan" && !("DirectRouting" in backend);
      expect(route.includes("dev flannel.")).toBe(tunnelled);
    }
    await Bun.sleep(1_000);
    const outcomes = await traffic.stop();
    const sent = outcomes.reduce((sum, { datagramsSent }) => sum + datagramsSent, 0);
    console.log(`${sent} datagrams in ${story.length} changes`);
    expect([...losses(outcomes)]).toEqual([]);
    // Lengths followed the MTU: what did not change tests nothing.
    for (const { lengths } of outcomes) expect(lengths.length).toBeGreaterThan(1);
  },
  patience,
);

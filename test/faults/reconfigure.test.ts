import { afterAll, beforeAll, expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

const nodes = ["node1", "node2"] as const;
const ipv4 = { Network: "10.244.0.0/16" };
const dual = { ...ipv4, EnableIPv6: true, IPv6Network: "fd00:244::/56" };
const vxlan = { Type: "vxlan" };

/** All that is ours on the node, without pods: tunnels, what stands on them, routes. */
const ours = `
  for device in $(ls /sys/class/net | grep flannel); do
    ip -o -d link show $device | sed -E 's/^[0-9]+: ([^:]*):.*(vxlan id [0-9]+).*(dstport [0-9]+).*/\\1 \\2 \\3/'
    ip -o address show dev $device scope global; bridge fdb show dev $device | grep dst
  done
  for family in -4 -6; do ip $family route show proto 84; ip $family neigh show nud permanent; done
  true`;

interface Step {
  readonly to: string;
  readonly config: unknown;
  /** Of \`ours\`, afterwards. */
  readonly has: readonly RegExp[];
  readonly hasNot: readonly RegExp[];
}

const steps: readonly Step[] = [
  { to: "IPv4 alone", config: { ...ipv4, Backend: vxlan }, has: [/flannel\.1 /], hasNot: [/fd00:/, /flannel-v6/] },
  { to: "host-gw", config: { ...ipv4, Backend: { Type: "host-gw" } }, has: [/dev eth0/], hasNot: [/flannel/] },
  { to: "VNI 7", config: { ...ipv4, Backend: { ...vxlan, VNI: 7 } }, has: [/flannel\.7 /], hasNot: [/dev eth0/] },
  {
    to: "another port",
    config: { ...ipv4, Backend: { ...vxlan, VNI: 7, Port: 4789 } },
    has: [/flannel\.7b .*dstport 4789/],
    hasNot: [/dstport 8472/],
  },
  {
    to: "VNI 1 and the usual port",
    config: { ...ipv4, Backend: vxlan },
    has: [/flannel\.1 .*dstport 8472/],
    hasNot: [/flannel\.7/, /4789/],
  },
  {
    to: "DirectRouting",
    config: { ...ipv4, Backend: { ...vxlan, DirectRouting: true } },
    has: [/dev eth0/, /flannel\.1 /],
    hasNot: [/onlink/, /PERMANENT/, /dst 192/],
  },
  {
    to: "no DirectRouting",
    config: { ...ipv4, Backend: vxlan },
    has: [/onlink/, /PERMANENT/, /dst 192/],
    hasNot: [/dev eth0/],
  },
  {
    to: "another network, the old one retired",
    config: { Network: "10.99.0.0/16", MoreNetworks: [{ ...ipv4, Retired: true }], Backend: vxlan },
    has: [/10\.99\..* onlink/],
    hasNot: [/10\.244\./],
  },
  {
    to: "the other network alone",
    config: { Network: "10.99.0.0/16", Backend: vxlan },
    has: [/10\.99\..* onlink/],
    hasNot: [/10\.244\./],
  },
  {
    to: "dual stack, and another network again",
    config: { ...dual, MoreNetworks: [{ Network: "10.99.0.0/16", Retired: true }], Backend: vxlan },
    has: [/flannel-v6\.1 /, /10\.244\..* onlink/],
    hasNot: [/10\.99\./],
  },
  {
    to: "dual stack",
    config: { ...dual, Backend: vxlan },
    has: [/flannel-v6\.1 /, /fd00:244:.* dev flannel-v6\.1/, /10\.244\..* onlink/],
    hasNot: [/10\.99\./],
  },
];

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.up({ nodes: 2, subnets: 1, pods: 0, config: { ...dual, Backend: vxlan } });
}, 30_000);
afterAll(() => lab?.[Symbol.asyncDispose]());

for (const { to, config, has, hasNot } of steps) {
  test(`agents restarted with ${to}: nothing of before is left, and new pods reach each other`, async () => {
    for (const node of nodes) await lab.agent(node, "stop");
    await lab.storeConfig(config);
    for (const node of nodes) await lab.agent(node, "start");
    for (const node of nodes) {
      let found = "";
      await until(
        async () => {
          found = await lab.on(node, ours);
          return has.every((pattern) => pattern.test(found)) && !hasNot.some((pattern) => pattern.test(found));
        },
        () => `${node} has ${has.join(", ")} and not ${hasNot.join(", ")}:\n${found}`,
      );
      await lab.call("addPod", { node, pod: "pod-a" });
    }
    expect(await lab.brokenPaths()).toEqual([]);
    for (const node of nodes) await lab.call("deletePod", { node, pod: "pod-a" });
    for (const node of nodes) expect((await lab.status(node)).problems).toEqual([]);
  }, 60_000);
}

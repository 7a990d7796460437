import { afterAll, beforeAll, expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

/** What the agent must answer for on node1, as others see it. Indexes of devices differ when a device was made anew. */
const fingerprint = `
  ip -o -d link show | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/(link-netns|link-netnsid) \\S+//; s/qlen [0-9]+//' | sort
  ip -o address show scope global | sed -E 's/^[0-9]+: //' | sort
  ip route show table main; for protocol in 84 85; do ip -6 route show proto $protocol; done
  for family in -4 -6; do ip $family neigh show nud permanent | sort; done; ip -6 neigh show proxy
  for device in flannel.1 flannel-v6.1; do bridge fdb show dev $device | grep dst | sort; done
  nft list ruleset
  cd /proc/sys/net; cat ipv4/ip_forward ipv4/conf/flannel.1/rp_filter ipv6/conf/all/forwarding ipv6/conf/flannel-v6.1/disable_ipv6
  true`;

interface Damage {
  readonly what: string;
  /**
   * A node across the tunnel: $PEER and $PEER6 its pod subnets, $VTEP and $VTEP6 its addresses there. $NEAR: the pod
   * subnet of a node on the same wire. $POD and $POD6: addresses of a pod here, $VETH its device.
   */
  readonly script: string;
}

const fdb = (device: string) => `set -- $(bridge fdb show dev ${device} | grep dst)`;
const damages: readonly Damage[] = [
  { what: "a route through the tunnel deleted", script: "ip route del $PEER" },
  { what: "the same, IPv6", script: "ip -6 route del $PEER6" },
  { what: "a direct route deleted", script: "ip route del $NEAR" },
  { what: "a route led elsewhere", script: "ip route replace $PEER via 192.168.1.1 dev eth0 proto 84" },
  { what: "a route replaced by somebody else's", script: "ip route replace $PEER via 192.168.1.1 dev eth0" },
  { what: "all routes of the tunnel flushed", script: "ip route flush dev flannel.1" },
  { what: "the same, IPv6", script: "ip -6 route flush dev flannel-v6.1" },
  { what: "an FDB entry deleted", script: `${fdb("flannel.1")}; bridge fdb del $1 dev flannel.1 dst $3` },
  { what: "the same, IPv6", script: `${fdb("flannel-v6.1")}; bridge fdb del $1 dev flannel-v6.1 dst $3` },
  {
    what: "an FDB entry led elsewhere",
    script: `${fdb("flannel.1")}; bridge fdb replace $1 dev flannel.1 dst 192.168.1.99 self permanent`,
  },
  { what: "a neighbour deleted", script: "ip neigh del $VTEP dev flannel.1" },
  { what: "the same, IPv6", script: "ip -6 neigh del $VTEP6 dev flannel-v6.1" },
  {
    what: "a neighbour led elsewhere",
    script: "ip neigh replace $VTEP lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent",
  },
  { what: "the tunnel's address deleted", script: "ip -4 addr flush dev flannel.1" },
  { what: "the same, IPv6", script: "ip -6 addr flush dev flannel-v6.1" },
  { what: "the tunnel's MTU changed", script: "ip link set flannel.1 mtu 1300" },
  { what: "the tunnel's MAC changed", script: "ip link set flannel.1 address 02:00:00:00:00:42" },
  { what: "the same, IPv6", script: "ip link set flannel-v6.1 address 02:00:00:00:00:42" },
  { what: "the tunnel down", script: "ip link set flannel.1 down" },
  { what: "the same, IPv6", script: "ip link set flannel-v6.1 down" },
  { what: "the tunnel renamed", script: "ip link set flannel.1 down; ip link set flannel.1 name mine" },
  { what: "the tunnel deleted", script: "ip link del flannel.1" },
  { what: "the same, IPv6", script: "ip link del flannel-v6.1" },
  { what: "a pod's route deleted", script: "ip route del $POD" },
  { what: "the same, IPv6", script: "ip -6 route del $POD6" },
  { what: "a pod's device down", script: "ip link set $VETH down" },
  { what: "a strict rp_filter", script: "echo 1 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter" },
  { what: "forwarding switched off", script: "echo 0 > /proc/sys/net/ipv4/ip_forward" },
  { what: "the same, IPv6", script: "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding" },
  { what: "IPv6 switched off on the tunnel", script: "echo 1 > /proc/sys/net/ipv6/conf/flannel-v6.1/disable_ipv6" },
];

const config = {
  ...{ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/56" },
  Backend: { Type: "vxlan", DirectRouting: true },
};
let lab: FaultLab;
let variables: string;
beforeAll(async () => {
  lab = await FaultLab.up({ nodes: 3, pods: 1, config });
  const [near, peer] = await Promise.all(["node2", "node3"].map((node) => lab.status(node)));
  const { view } = await lab.call("status", null);
  const [pod, pod6] = view.subnets[0]?.nodes[0]?.pods[0]?.addresses ?? [];
  const [subnet = "", subnet6 = ""] = peer?.subnets ?? [];
  const [vtep, vtep6] = [subnet, subnet6].map((prefix) => prefix.split("/")[0]);
  variables =
    `PEER=${subnet} PEER6=${subnet6} VTEP=${vtep} VTEP6=${vtep6} NEAR=${near?.subnets[0]} POD=${pod} POD6=${pod6}\n` +
    "VETH=$(ip -o link | grep -o 'twl[0-9a-f]*' | head -1)\n";
}, 240_000);
afterAll(() => lab?.[Symbol.asyncDispose]());

const difference = (before: string, now: string): string => {
  const [old, fresh] = [before.split("\n"), now.split("\n")];
  const missing = old.filter((line) => !fresh.includes(line)).map((line) => `- ${line}`);
  return [...missing, ...fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)].join("\n");
};

/** What the agent has written so far: to the node's own objects, and to its pods'. */
const repairs = async (): Promise<number> =>
  (await lab.kernelWrites("node1")) + lab.log("node1").split(" mended ").length;

/** @returns milliseconds after which node1 was as before. */
async function heals({ what, script }: Damage): Promise<number> {
  const before = await lab.on("node1", fingerprint);
  const writes = await repairs();
  const damaged = await lab.on("node1", `set -e\n${variables}${script}\nset +e\n${fingerprint}`);
  let now = damaged;
  const took = await until(
    async () => {
      if (now === before) return true;
      now = await lab.on("node1", fingerprint);
      return now === before;
    },
    () => `${what} heals:\n${difference(before, now)}`,
  );
  expect(await repairs(), `${what}: nothing was damaged`).toBeGreaterThan(writes);
  return took;
}

for (const [index, damage] of damages.entries()) {
  test(`${index + 1}. ${damage.what}: healed within a second`, async () => {
    const limit = 1500;
    let took = await heals(damage);
    // This machine may have been busy with something else.
    if (took > limit) took = await heals(damage);
    console.log(`${damage.what}: ${took < 1 ? "at once" : `${Math.round(took)} ms`}`);
    expect(took).toBeLessThan(limit);
  }, 240_000);
}

test("nf_tables: nobody else can change our table; what went while the agent was dead is back with it", async () => {
  const ruleset = "nft list ruleset";
  const before = await lab.on("node1", ruleset);
  expect(before).toContain("masquerade");
  expect((await lab.attempt("node1", "nft delete table inet twill")).stderr).toContain("not permitted");
  expect((await lab.attempt("node1", "nft flush chain inet twill outgoing")).stderr).toContain("not permitted");
  // What an administrator saves can be loaded again.
  await lab.on("node1", `${ruleset} > /tmp/rules-$$; unshare -n nft -f /tmp/rules-$$; rm /tmp/rules-$$`);
  await lab.attempt("node1", "nft flush ruleset");
  expect(await lab.on("node1", ruleset)).toBe(before);
  await lab.agent("node1", "kill");
  expect(await lab.on("node1", ruleset)).toContain("masquerade");
  await lab.on("node1", "nft flush ruleset");
  expect(await lab.on("node1", ruleset)).toBe("");
  await lab.agent("node1", "start");
  await until(async () => (await lab.on("node1", ruleset)) === before, "the table is back");
}, 240_000);

test("after all of it every path works, and nothing is left to say", async () => {
  expect(await lab.brokenPaths()).toEqual([]);
  expect((await lab.status("node1")).problems).toEqual([]);
}, 240_000);

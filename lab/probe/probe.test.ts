import { afterAll, beforeAll, expect, test } from "bun:test";
import { parseAddress } from "../../src/base/address.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { TestNetns } from "../../test/support/netns.ts";
import { measure } from "./measure.ts";
import type { ProbePlace } from "./place.ts";
import { type PlacedPair, reach, type Verdicts } from "./reach.ts";
import { Responder } from "./responder.ts";

/**
 * left ── middle ── right, three namespaces and two cables, laid and obstructed with ip and nft: what the prober says
 * must be what was done to the path.
 */
let left: TestNetns;
let middle: TestNetns;
let right: TestNetns;

const addresses = {
  left: { 4: parseAddress("10.0.1.2"), 6: parseAddress("fd00:1::2") },
  right: { 4: parseAddress("10.0.2.2"), 6: parseAddress("fd00:2::2") },
};

function shell(netns: TestNetns, script: string): void {
  const done = inNetns(netns.fd, () => Bun.spawnSync(["sh", "-ec", script], { stderr: "pipe" }));
  if (done.exitCode !== 0) throw new Error(`${script}: ${done.stderr.toString()}`);
}

const place = (name: "left" | "right", netns: TestNetns): ProbePlace => ({
  name,
  kind: "node",
  node: name,
  subnet: name,
  addresses: addresses[name],
  netns: netns.fd,
  counters: netns.rtnl,
});

beforeAll(() => {
  left = new TestNetns();
  middle = new TestNetns();
  right = new TestNetns();
  for (const [netns, name, number] of [
    [left, "l", 1],
    [right, "r", 2],
  ] as const) {
    middle.rtnl.do({
      op: "link.add",
      spec: { name, kind: { type: "veth" }, up: true, peer: { name: "eth0", netns: netns.fd, up: true } },
    });
    shell(middle, `ip addr add 10.0.${number}.1/24 dev ${name}; ip -6 addr add fd00:${number}::1/64 dev ${name} nodad`);
    shell(
      netns,
      `ip addr add 10.0.${number}.2/24 dev eth0; ip -6 addr add fd00:${number}::2/64 dev eth0 nodad
       ip route add default via 10.0.${number}.1; ip -6 route add default via fd00:${number}::1`,
    );
  }
  shell(middle, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
});

afterAll(() => {
  for (const netns of [left, middle, right]) netns.close();
});

async function probe(family: 4 | 6): Promise<{ verdicts: Verdicts; measured?: ReturnType<typeof measure> }> {
  const pair: PlacedPair = { relation: "node-pod", from: place("left", left), to: place("right", right), family };
  const responder = new Responder(right.fd, addresses.right[family]);
  try {
    const [verdicts] = await reach([pair], () => responder, new AbortController().signal);
    if (verdicts === undefined) throw new Error("no verdict");
    return { verdicts, ...(verdicts.udp.outcome === "connected" && { measured: measure(pair, responder) }) };
  } finally {
    responder.close();
  }
}

const obstruct = (rules: string) =>
  shell(middle, `nft 'table inet t { chain f { type filter hook forward priority 0; ${rules}; }; }'`);
const clear = () => shell(middle, "nft flush ruleset");

for (const family of [4, 6] as const) {
  test(`an open path, IPv${family}: connected, by whose address, over what, how large`, async () => {
    const { verdicts, measured } = await probe(family);
    const seen = addresses.left[family];
    expect(verdicts).toEqual({
      tcp: { outcome: "connected", seen },
      udp: { outcome: "connected", seen },
      icmp: { outcome: "connected" },
    });
    expect(measured?.path).toBe("direct");
    expect(measured?.mtu).toBe(1500);
    expect(measured?.rtt).toBeGreaterThan(0);
  });

  test(`silence, refusal and ICMP errors are three answers, IPv${family}`, async () => {
    obstruct("meta l4proto udp drop; tcp dport != 0 reject with tcp reset; meta l4proto { icmp, icmpv6 } reject");
    try {
      const { verdicts } = await probe(family);
      expect(verdicts.tcp).toEqual({ outcome: "refused" });
      expect(verdicts.udp).toEqual({ outcome: "timed out" });
      expect(verdicts.icmp.outcome).not.toBe("connected");
    } finally {
      clear();
    }
    obstruct("meta l4proto { tcp, udp } reject with icmpx admin-prohibited");
    try {
      const { verdicts } = await probe(family);
      expect(verdicts.tcp.outcome).toBe("unreachable");
      expect(verdicts.udp.outcome).toBe("unreachable");
    } finally {
      clear();
    }
  });

  test(`an answer that is lost is told from a question that is, IPv${family}`, async () => {
    obstruct('iifname "r" meta l4proto udp drop');
    try {
      const { verdicts } = await probe(family);
      expect(verdicts.udp).toEqual({ outcome: "timed out", seen: addresses.left[family] });
    } finally {
      clear();
    }
  });

  test(`a narrow hop behind the first: by ICMP, and searched for where ICMP is dropped, IPv${family}`, async () => {
    shell(middle, "ip link set r mtu 1390");
    try {
      expect((await probe(family)).measured?.mtu).toBe(1390);
      // No cached path MTU, and no ICMP that could teach it: a black hole.
      shell(left, "ip route flush cache; ip -6 route flush cache");
      shell(
        middle,
        "nft 'table inet t { chain o { type filter hook output priority 0; meta l4proto { icmp, icmpv6 } drop; }; }'",
      );
      expect((await probe(family)).measured).toMatchObject({ mtu: 1390, promisedMtu: 1500 });
    } finally {
      clear();
      shell(middle, "ip link set r mtu 1500");
      shell(left, "ip route flush cache; ip -6 route flush cache");
    }
  }, 20_000);
}

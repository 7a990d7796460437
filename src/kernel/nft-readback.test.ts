import { expect, onTestFinished, test } from "bun:test";
import { parsePrefix } from "../base/prefix.ts";
import type { NftChain } from "../objects/nft.ts";
import {
  byteData,
  concatenated,
  dataOf,
  hostData,
  interfaceData,
  labelData,
  maskData,
  networkData,
  portData,
  prefixRange,
  zeroData,
} from "../objects/nft-data.ts";
import { ctState, type NftExpression } from "../objects/nft-expression.ts";
import { intervalElements } from "../objects/nft-interval.ts";
import { closeFile } from "./file.ts";
import { createNetns, inNetns } from "./netns.ts";
import { openNft } from "./nft-socket.ts";

/**
 * The kernel hands an expression back as it understood it, with defaults filled in. Apply compares what it reads with what
 * it wants, so both must be equal: else each restart would write every rule again.
 */
const at = { family: "inet", table: "twill" } as const;
const base = (
  name: string,
  type: "filter" | "nat",
  hook: "prerouting" | "postrouting" | "forward" | "output",
): NftChain => ({
  ...at,
  name,
  base: { type, hook, priority: 0, policy: "accept" },
});
const accept: NftExpression = { type: "verdict", verdict: { verdict: "accept" } };
const family: NftExpression[] = [
  { type: "meta", key: "nfproto", to: 0 },
  { type: "cmp", from: 0, op: "eq", value: byteData(2) },
];
const tcp: NftExpression[] = [
  { type: "meta", key: "l4proto", to: 0 },
  { type: "cmp", from: 0, op: "eq", value: byteData(6) },
];
const address: NftExpression = { type: "immediate", to: 0, value: networkData(0x0a000001) };
const port: NftExpression = { type: "immediate", to: 4, value: portData(80) };
const source: NftExpression = { type: "payload", base: "network", offset: 12, length: 4, to: 0 };

const rules: Readonly<Record<string, readonly (readonly NftExpression[])[]>> = {
  forward: [
    [
      source,
      { type: "bitwise", from: 0, to: 0, length: 4, mask: maskData(4, 12), xor: zeroData(4) },
      { type: "cmp", from: 0, op: "neq", value: networkData(0xac100000) },
    ],
    [
      source,
      { type: "range", from: 0, op: "neq", first: networkData(1), last: networkData(9) },
      { type: "log", group: 7, prefix: "twill ", snaplen: 128, threshold: 4 },
    ],
    [
      { type: "meta", key: "mark", to: 0 },
      { type: "shift", from: 0, to: 0, length: 4, direction: "right", bits: hostData(16) },
      { type: "byteorder", from: 0, to: 0, op: "hton", length: 4, size: 4 },
      { type: "cmp", from: 0, op: "gte", value: networkData(3) },
    ],
    [
      { type: "immediate", to: 0, value: hostData(0x1000_0000) },
      { type: "meta.set", key: "mark", from: 0 },
    ],
    [
      { type: "ct", key: "state", to: 0 },
      {
        type: "bitwise",
        from: 0,
        to: 0,
        length: 4,
        mask: hostData(ctState.established | ctState.related),
        xor: zeroData(4),
      },
      { type: "cmp", from: 0, op: "neq", value: hostData(0) },
      { type: "counter" },
      accept,
    ],
    [
      { type: "ct", key: "direction", to: 0 },
      { type: "cmp", from: 0, op: "eq", value: byteData(0) },
    ],
    [
      { type: "ct", key: "packets", to: 0, direction: "original" },
      { type: "cmp", from: 0, op: "lt", value: dataOf(new Uint8Array(8)) },
    ],
    [
      { type: "ct", key: "status", to: 0 },
      { type: "ct", key: "id", to: 1 },
    ],
    [
      { type: "ct", key: "label", to: 0 },
      { type: "cmp", from: 0, op: "eq", value: labelData([0, 64]) },
    ],
    [
      { type: "immediate", to: 0, value: labelData([1, 127]) },
      { type: "ct.set", key: "label", from: 0 },
    ],
    [
      { type: "immediate", to: 0, value: hostData(5) },
      { type: "ct.set", key: "mark", from: 0 },
    ],
    [
      { type: "meta", key: "oifname", to: 0 },
      { type: "cmp", from: 0, op: "eq", value: interfaceData("eth0") },
      { type: "meta", key: "iif", to: 0 },
      { type: "meta", key: "pkttype", to: 1 },
    ],
    [
      source,
      { type: "lookup", set: "classes", from: 0, to: 0 },
      { type: "lookup", set: "verdicts", from: 0, to: "verdict" },
    ],
    [
      source,
      { type: "lookup", set: "nets", from: 0, invert: true },
      { type: "verdict", verdict: { verdict: "jump", chain: "other" } },
    ],
    [
      { type: "limit", rate: 10, unit: 60, burst: 5, of: "packets" },
      { type: "log", level: "info", flags: 1 },
      { type: "verdict", verdict: { verdict: "drop" } },
    ],
    [
      { type: "limit", rate: 4096, unit: 1, burst: 9, of: "bytes", invert: true },
      { type: "log", prefix: "x" },
    ],
    [{ type: "reject", kind: "icmpx", code: 3 }],
    [...tcp, { type: "reject", kind: "tcp-reset" }],
    [
      { type: "fib", to: 0, result: "type", flags: ["daddr"] },
      { type: "cmp", from: 0, op: "eq", value: hostData(2) },
    ],
    [source, { type: "dynset", set: "seen", op: "update", key: 0, timeout: 3000, expressions: [{ type: "counter" }] }],
    [
      source,
      { type: "numgen", to: 1, modulus: 3, kind: "random", offset: 2 },
      { type: "jhash", from: 0, to: 2, length: 4, modulus: 16, seed: 7 },
    ],
    [
      { type: "numgen", to: 0, modulus: 2, kind: "incremental" },
      { type: "verdict", verdict: { verdict: "goto", chain: "other" } },
    ],
  ],
  prerouting: [
    [{ type: "notrack" }],
    [
      { type: "socket", key: "transparent", to: 0 },
      { type: "cmp", from: 0, op: "eq", value: byteData(1) },
    ],
    [
      { type: "immediate", to: 0, value: byteData(9) },
      { type: "payload.set", base: "network", offset: 8, length: 1, from: 0, checksum: "inet", checksumOffset: 10 },
    ],
  ],
  dnat: [
    [
      ...family,
      ...tcp,
      address,
      port,
      { type: "nat", kind: "dnat", family: 4, address: 0, port: 4, flags: ["persistent"] },
    ],
    [...family, address, { type: "nat", kind: "dnat", family: 4, address: 0 }],
    [...tcp, port, { type: "redirect", port: 4 }],
  ],
  snat: [
    [...family, address, { type: "nat", kind: "snat", family: 4, address: 0, flags: ["fully-random"] }],
    [{ type: "masquerade" }],
    [...tcp, port, { type: "masquerade", port: 4, flags: ["random"] }],
  ],
};

test("the kernel gives back each rule as it was written", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const nft = openNft({ netns });
  onTestFinished(() => nft.close());
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "twill" } },
    { op: "chain.add", chain: { ...at, name: "other" } },
    { op: "chain.add", chain: base("forward", "filter", "forward") },
    { op: "chain.add", chain: base("prerouting", "filter", "prerouting") },
    { op: "chain.add", chain: base("dnat", "nat", "prerouting") },
    { op: "chain.add", chain: base("snat", "nat", "postrouting") },
    {
      op: "set.add",
      set: { ...at, name: "classes", key: ["ipv4_addr"], keyLength: 4, data: { type: "mark", length: 4 } },
    },
    { op: "set.add", set: { ...at, name: "verdicts", key: ["mark"], keyLength: 4, data: { type: "verdict" } } },
    { op: "set.add", set: { ...at, name: "nets", key: ["ipv4_addr"], keyLength: 4, interval: true } },
    {
      op: "set.add",
      set: { ...at, name: "seen", key: ["ipv4_addr"], keyLength: 4, dynamic: true, timeout: true, size: 100 },
    },
  ]);
  for (const [chain, list] of Object.entries(rules)) {
    for (const expressions of list) nft.transaction([{ op: "rule.add", rule: { ...at, chain, expressions } }]);
    const found = nft.rules({ ...at, chain }).map((rule) => rule.expressions.map(withoutReadings));
    expect(found).toEqual(list.map((expressions) => [...expressions]));
  }
});

function withoutReadings(expression: NftExpression): NftExpression {
  if (expression.type === "counter") return { type: "counter" };
  if (expression.type === "dynset" && expression.expressions !== undefined) {
    return { ...expression, expressions: expression.expressions.map(withoutReadings) };
  }
  return expression;
}

test("tables of other programs can always be read", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const nft = openNft({ netns });
  onTestFinished(() => nft.close());
  const script = `
    table ip6 x {
      set ports { type inet_service; flags interval; elements = { 80, 443-500 } }
      map m { type ipv6_addr . inet_service : verdict; flags interval; elements = { fd00::/8 . 1-9 : accept } }
      counter hits { }
      chain c {
        type filter hook forward priority security; policy drop;
        tcp dport { 22, 80 } tcp flags syn ct count over 10 accept
        tcp option maxseg size set rt mtu counter name hits
        meter flood { ip6 saddr limit rate 10/second } ip6 nexthdr vmap { tcp : accept, udp : drop }
        quota over 10 mbytes exthdr frag exists accept
      }
    }`;
  const result = inNetns(netns, () =>
    Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(script), timeout: 10_000 }),
  );
  expect(result.stderr.toString()).toBe("");
  const content = nft.read("ip6", "x");
  expect(content?.rules).toHaveLength(4);
  expect(content?.rules.flatMap(({ expressions }) => expressions).some(({ type }) => type === "raw")).toBe(true);
});

test("nft lists our sets as a person would write them", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const nft = openNft({ netns });
  onTestFinished(() => nft.close());
  const ranges = [prefixRange(parsePrefix("10.0.0.0/8")), prefixRange(parsePrefix("192.168.4.0/22"))];
  const set = (name: string) => ({ ...at, set: name });
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "twill", comment: "ours" } },
    { op: "chain.add", chain: { ...at, name: "other" } },
    {
      op: "set.add",
      set: { ...at, name: "marks", key: ["ipv4_addr"], keyLength: 4, data: { type: "mark", length: 4 }, size: 9 },
    },
    { op: "set.add", set: { ...at, name: "nets", key: ["ipv4_addr"], keyLength: 4, interval: true, comment: "nets" } },
    {
      op: "set.add",
      set: {
        ...at,
        name: "decisions",
        key: ["mark", "inet_proto", "inet_service"],
        keyLength: 12,
        data: { type: "verdict" },
      },
    },
    { op: "set.add", set: { ...at, name: "pairs", key: ["ipv4_addr", "inet_service"], keyLength: 8, interval: true } },
    { op: "set.add", set: { ...at, name: "links", key: ["ifname"], keyLength: 16, timeout: true } },
    {
      op: "element.add",
      set: set("marks"),
      elements: [{ key: networkData(0x0a000001), data: hostData(0x107), comment: "pod" }],
    },
    { op: "element.add", set: set("nets"), elements: intervalElements(ranges) },
    {
      op: "element.add",
      set: set("decisions"),
      elements: [
        { key: concatenated(hostData(7), byteData(6), portData(443)), data: { verdict: "goto", chain: "other" } },
        { key: concatenated(hostData(7), byteData(17), portData(53)), data: { verdict: "drop" } },
      ],
    },
    {
      op: "element.add",
      set: set("pairs"),
      elements: [
        {
          key: concatenated(networkData(0x0a000000), portData(1)),
          keyEnd: concatenated(networkData(0x0affffff), portData(80)),
        },
      ],
    },
    { op: "element.add", set: set("links"), elements: [{ key: interfaceData("eth0"), timeout: 3_600_000 }] },
  ]);
  const listed = inNetns(netns, () => Bun.spawnSync(["nft", "list", "table", "inet", "twill"], { timeout: 10_000 }));
  const text = listed.stdout.toString().replace(/\s+/g, " ");
  expect(text).toContain('10.0.0.1 comment "pod" : 0x00000107');
  expect(text).toContain("elements = { 10.0.0.0/8, 192.168.4.0/22 }");
  expect(text).toContain("0x00000007 . tcp . 443 : goto other");
  expect(text).toContain("0x00000007 . udp . 53 : drop");
  expect(text).toContain("elements = { 10.0.0.0/8 . 1-80 }");
  expect(text).toMatch(/"eth0" timeout 1h expires (1h|59m)/);
  expect(text).toContain('comment "nets"');
});

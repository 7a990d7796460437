import { expect, test } from "bun:test";
import { parseAddress } from "../src/base/address.ts";
import { judge, type Observed } from "./probe/judge.ts";
import { everyPair } from "./probe/pairs.ts";
import type { Endpoint, Pair, PairResult } from "./probe/result.ts";
import { drawReport, tableRows, verdictLine } from "./report.ts";
import { painter } from "./table.ts";

const plain = painter(false);
const node = (number: number, subnet: string): Endpoint => ({
  name: `node${number}`,
  kind: "node",
  node: `node${number}`,
  subnet,
  addresses: { 4: parseAddress(`192.168.1.1${number}`) },
});
const pod = (number: number, name: string, subnet: string): Endpoint => ({
  name: `node${number}/${name}`,
  kind: "pod",
  node: `node${number}`,
  subnet,
  addresses: { 4: parseAddress(`10.244.${number}.${name.charCodeAt(4) - 95}`) },
});
const outside: Endpoint = {
  name: "outside",
  kind: "outside",
  node: "outside",
  subnet: "outside",
  addresses: { 4: parseAddress("203.0.113.10") },
};
const endpoints = [1, 2, 3].flatMap((number) => {
  const subnet = number < 3 ? "lan1" : "lan2";
  return [node(number, subnet), pod(number, "pod-a", subnet), pod(number, "pod-b", subnet)];
});

/** A cluster in which everything is as it should be. */
function good(pair: Pair): Observed {
  const own = pair.from.addresses[4];
  const masqueraded = endpoints.find((end) => end.name === pair.from.node)?.addresses[4];
  const seen = pair.relation === "pod-outside" ? masqueraded : own;
  const connected = { outcome: "connected", ...(seen === undefined ? {} : { seen }) } as const;
  const path = pair.relation === "lo" ? "lo" : pair.from.node === pair.to.node ? "local" : "direct";
  return { verdicts: { tcp: connected, udp: connected, icmp: { outcome: "connected" } }, path, rtt: 20, mtu: 1450 };
}

const nodeAddresses = (pair: Pair) =>
  endpoints.flatMap((end) => (end.name === pair.from.node && end.addresses[4] ? [end.addresses[4]] : []));
const observe = (change: (pair: Pair, observed: Observed) => Observed): PairResult[] =>
  everyPair([...endpoints, outside], [4]).map((pair) => judge(pair, change(pair, good(pair)), nodeAddresses(pair)));

test("every pair: lo, pod to pod, node to pod, pod to node, pod to outside", () => {
  const pairs = everyPair([...endpoints, outside], [4, 6]);
  const count = (relation: string) => pairs.filter((pair) => pair.relation === relation).length;
  expect(["lo", "pod-pod", "node-pod", "pod-node", "pod-outside"].map(count)).toEqual([6, 30, 18, 18, 6]);
});

test("alike paths share a line; --all gives each its own; few need no grouping", () => {
  const results = observe((_, observed) => observed);
  const rows = tableRows(results, false);
  expect(rows.map((row) => `${row.from} → ${row.to}`)).toEqual([
    "pod ×6 → itself",
    "pod ×6 → pod, same node",
    "pod ×8 → pod, same subnet",
    "pod ×16 → pod, other subnet",
    "node ×6 → pod, same node",
    "node ×4 → pod, same subnet",
    "node ×8 → pod, other subnet",
    "pod ×6 → node, same node",
    "pod ×4 → node, same subnet",
    "pod ×8 → node, other subnet",
    "pod ×6 → outside",
  ]);
  expect(tableRows(results, true).length).toBe(results.length);
  expect(verdictLine(results, plain)).toBe("78 of 78 paths work");
  for (const line of drawReport(rows, [4], 80, plain)) expect(line.length).toBeLessThanOrEqual(80);
});

test("what fails is told apart from what works, by its nodes, with the reason", () => {
  const silent = { outcome: "timed out" } as const;
  const results = observe((pair, observed) =>
    pair.relation === "pod-pod" && pair.from.node === "node1" && pair.to.node === "node3"
      ? { verdicts: { tcp: silent, udp: silent, icmp: { outcome: "refused" } } }
      : observed,
  );
  const report = drawReport(tableRows(results, false), [4], 100, plain).join("\n");
  expect(report).toContain("pod of node1 ×4");
  expect(report).toContain(
    "  node1/pod-a → node3/pod-a and 3 alike: TCP, UDP timed out: it never arrived; ICMP refused",
  );
  expect(verdictLine(results, plain)).toBe("74 of 78 paths work");
});

test("an answer is not enough: pods must see each other's own address, the outside must see the node's", () => {
  const other = parseAddress("198.51.100.9");
  const seen = { outcome: "connected", seen: other } as const;
  const results = observe((_, observed) => ({ ...observed, verdicts: { tcp: seen, udp: seen, icmp: seen } }));
  const faults = (relation: string) => results.find((result) => result.relation === relation)?.faults;
  expect(faults("pod-pod")).toEqual([
    "node1/pod-b sees 198.51.100.9 instead of the pod's own 10.244.1.2: translated on the way",
  ]);
  expect(faults("pod-outside")).toEqual(["the outside sees 198.51.100.9, not an address of node1: not masqueraded"]);
  expect(faults("node-pod")).toEqual([]);
});

import { expect, test } from "bun:test";
import { fuzz } from "../../../test/support/fuzz.ts";
import { parseAddress } from "../../base/address.ts";
import { isCode } from "../../base/errors.ts";
import type { Flow, FlowReason } from "../../model/flow.ts";
import { decodeFlow, encodeFlow } from "./flow-line.ts";

const four = parseAddress("10.1.0.2");
const six = parseAddress("fd00::2");
const policy = { kind: "NetworkPolicy", namespace: "shop", name: "web" } as const;
const cluster = { kind: "ClusterNetworkPolicy", name: "guard" } as const;

const base: Flow = {
  sequence: 7,
  since: 1_700_000_000_000,
  until: 1_700_000_060_000,
  verdict: "deny",
  protocol: 6,
  source: {
    kind: "pod",
    address: four,
    namespace: "shop",
    name: "web-0",
    labels: { app: "web", "a/b": "" },
    node: "n1",
  },
  destination: { kind: "address", address: six },
  port: 443,
  ingress: { by: "rule", policy, rule: 3, tier: "default" },
  count: 12,
};
const { port: _, ingress: __, ...plain } = base;
const reasons: readonly FlowReason[] = [
  { by: "tier", tier: "default", isolatedBy: [policy, cluster] },
  { by: "broken", policy: cluster },
  { by: "own-node", policy, tier: "default" },
  { by: "no-policy" },
  { by: "unknown-endpoint" },
  { by: "forgotten", number: 99 },
];
const flows: readonly Flow[] = [
  base,
  { ...plain, source: { kind: "many" }, destination: { kind: "node", address: six, name: "n2" }, ports: 4000 },
  { ...plain, protocol: 58, icmp: { type: 128, code: 0 }, obstacle: "spoofed" },
  {
    ...plain,
    verdict: "allow",
    service: { address: four, port: 80 },
    ended: { connections: 3, packets: 10, bytes: 12_345, seconds: 1.25 },
  },
  ...reasons.map((egress): Flow => ({ ...plain, egress })),
];

test("flows survive the way to a line and back; the sequence stands first", () => {
  for (const flow of flows) {
    expect(decodeFlow(encodeFlow(flow))).toEqual(flow);
    expect(encodeFlow(flow)).toStartWith('{"sequence":7,');
    expect(encodeFlow(flow)).not.toContain("\n");
  }
});

test("damaged lines", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const text = (line: Uint8Array) => new TextDecoder().decode(line);
  fuzz(
    flows.map((flow) => bytes(encodeFlow(flow))),
    (line) => decodeFlow(text(line)),
    (flow) => bytes(encodeFlow(flow)),
  );
});

test("what is no flow is corrupt, field by field", () => {
  const wrong: readonly Readonly<Record<string, unknown>>[] = [
    { sequence: -1 },
    { since: "now" },
    { verdict: "maybe" },
    { protocol: 256 },
    { source: { kind: "pod", address: four, namespace: "shop", name: "web-0" } },
    { source: { kind: "host" } },
    { source: null },
    { destination: { kind: "address", address: "10.1.0.999" } },
    { port: 65_536 },
    { icmp: { type: 8 } },
    { ingress: { by: "magic" } },
    { ingress: { by: "rule", policy: { kind: "Ingress", name: "x" }, rule: 0 } },
    { ingress: { by: "tier", tier: "default", isolatedBy: "x" } },
    { obstacle: "wall" },
    { ended: { connections: 1, packets: 1, bytes: 1, seconds: -1 } },
    { count: 1.5 },
  ];
  for (const change of wrong) {
    try {
      decodeFlow(JSON.stringify({ ...base, ...change }));
      throw new Error(`taken: ${JSON.stringify(change)}`);
    } catch (error) {
      if (!isCode(error, "corrupt")) throw error;
    }
  }
});

import { expect, test } from "bun:test";
import { parseAddress } from "../../src/base/address.ts";
import { kubernetesTiers, type PolicyModel } from "../../src/model/policy.ts";
import { withDenied } from "./denied.ts";
import { judge } from "./judge.ts";
import type { Endpoint, PairResult, Protocol, Verdict } from "./result.ts";

const pod = (node: number, address: string): Endpoint => ({
  name: `node${node}/pod`,
  kind: "pod",
  node: `node${node}`,
  subnet: "lan1",
  addresses: { 4: parseAddress(address) },
});
const [client, web] = [pod(1, "10.0.1.2"), pod(2, "10.0.2.2")];
const endpoint = (name: string, app: string, address: string, node: string) =>
  [
    `shop/${name}`,
    { namespace: "shop", pod: name, node, labels: { app }, addresses: [parseAddress(address)], ports: [] },
  ] as const;
const model: PolicyModel = {
  namespaces: new Map([["shop", { name: "shop", labels: {} }]]),
  endpoints: new Map([endpoint("client", "client", "10.0.1.2", "node1"), endpoint("web", "web", "10.0.2.2", "node2")]),
  nodes: new Map(),
  tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
  policies: new Map([
    [
      "NetworkPolicy shop/web",
      {
        id: { kind: "NetworkPolicy", namespace: "shop", name: "web" },
        ...{ tier: "default", order: 1000, allowsOwnNode: true },
        subject: { namespace: "shop", labels: { op: "in", key: "app", values: ["web"] } },
        ingress: [{ action: "allow", traffic: [{ protocol: 6, ports: { first: 8080, last: 8080 } }] }],
      },
    ],
  ]),
};
const silence: Verdict = { outcome: "timed out" };
const result = (tcpPort: number, verdicts: Record<Protocol, Verdict>): PairResult => ({
  ...judge({ relation: "pod-pod", from: client, to: web, family: 4 }, { verdicts }, []),
  ports: { tcp: tcpPort, udp: 53 },
});

test("silence that policy wants is no fault, silence that it does not want stays one", () => {
  const all = { tcp: silence, udp: silence, icmp: silence };
  const [denied, half] = withDenied([result(80, all), result(8080, all)], model);
  expect([denied?.faults, half?.faults]).toEqual([[], ["TCP timed out: it never arrived"]]);
  expect(denied?.verdicts.udp).toEqual({ outcome: "denied", by: "deny ingress: tier default, no rule" });
  expect([half?.verdicts.tcp.outcome, half?.verdicts.icmp.outcome]).toEqual(["timed out", "denied"]);
  const open = withDenied([result(80, all)], { ...model, policies: new Map() });
  expect(open[0]?.faults).toEqual(["TCP, UDP, ICMP timed out: it never arrived"]);
});

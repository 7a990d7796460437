import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import { Evaluator } from "../../compile/policy/evaluate.ts";
import type { Flow, FlowEnd } from "../../model/flow.ts";
import {
  type EndpointMatch,
  type PeerMatch,
  type Policy,
  type PolicyModel,
  policyName,
  protocols,
} from "../../model/policy.ts";
import { packetOf } from "./flow-ends.ts";
import { type MutableCluster, randomCluster } from "./random-cluster.fixture.ts";
import { type SuggestedPolicy, suggestPolicies } from "./suggest.ts";

function randomFlow(random: Random, model: MutableCluster): Flow {
  const end = (): FlowEnd => {
    const pods = [...model.endpoints.values()].filter(({ unknown }) => unknown !== true);
    if (random.below(3) > 0 && pods.length > 0) {
      const { namespace, pod: name, addresses, labels } = pick(random, pods);
      return { kind: "pod", namespace, name, labels, address: pick(random, addresses) };
    }
    const node = pick(random, [...model.nodes.values()]);
    if (random.below(2) === 0) return { kind: "node", name: node.name, address: pick(random, node.addresses) };
    return { kind: "address", address: parseAddress(pick(random, ["1.2.3.4", "8.8.8.8", "fd00:7::1"])) };
  };
  const protocol = pick(random, [6, 17, 132, 1, 47]);
  const transport = [6, 17, 132].includes(protocol);
  return {
    ...{ sequence: 1, since: 0, until: 0, verdict: "allow", protocol, source: end(), destination: end(), count: 1 },
    ...(transport ? { port: 1 + random.below(3) } : {}),
    ...(protocol === 1 ? { icmp: { type: 8, code: 0 } } : {}),
  };
}

/** As src/intent reads it, for what is suggested. */
function read({ metadata, spec }: SuggestedPolicy): Policy {
  const match = (selector: { readonly matchLabels?: Readonly<Record<string, string>> } | undefined) => ({
    op: "and" as const,
    of: Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => ({
      op: "in" as const,
      key,
      values: [value],
    })),
  });
  type Peers = NonNullable<SuggestedPolicy["spec"]["ingress"][number]["from"]>;
  const peer = (peers: Peers | undefined): PeerMatch => ({
    any: (peers ?? []).map((one): PeerMatch => {
      if ("ipBlock" in one) return { networks: [parsePrefix(one.ipBlock.cidr)], except: [] };
      const where: EndpointMatch =
        one.namespaceSelector === undefined
          ? { namespace: metadata.namespace }
          : { namespaces: match(one.namespaceSelector) };
      return { endpoints: { ...where, labels: match(one.podSelector) } };
    }),
  });
  const traffic = (ports: SuggestedPolicy["spec"]["ingress"][number]["ports"]) =>
    ports === undefined
      ? {}
      : {
          traffic: ports.map(({ protocol, port }) => ({
            protocol: { TCP: protocols.tcp, UDP: protocols.udp, SCTP: protocols.sctp }[protocol] ?? 0,
            ports: { first: port, last: port },
          })),
        };
  return {
    id: { kind: "NetworkPolicy", ...metadata },
    tier: "default",
    order: 1000,
    allowsOwnNode: true,
    subject: { namespace: metadata.namespace, labels: match(spec.podSelector) },
    ingress: spec.ingress.map(({ from, ports }) => ({ action: "allow", source: peer(from), ...traffic(ports) })),
    egress: spec.egress.map(({ to, ports }) => ({ action: "allow", destination: peer(to), ...traffic(ports) })),
  };
}

test("what is suggested cuts none of the flows that it was made of", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const model = randomCluster(random, { pods: 6, policies: 0 });
    const flows = Array.from({ length: random.below(30) }, () => randomFlow(random, model)).filter(
      ({ source, destination }) =>
        source.kind !== "many" &&
        destination.kind !== "many" &&
        source.address.includes(":") === destination.address.includes(":"),
    );
    const known = [...model.endpoints].filter(([, { unknown }]) => unknown !== true).map(([name]) => name);
    const subjects = new Set(known.filter(() => random.below(3) > 0));
    const { policies } = suggestPolicies(model, subjects, flows);
    const applied: PolicyModel = {
      ...model,
      policies: new Map(policies.map(read).map((one) => [policyName(one.id), one])),
    };
    const [before, after] = [new Evaluator(model), new Evaluator(applied)];
    for (const flow of flows) {
      const packet = packetOf(flow);
      if (packet === undefined || before.evaluate(packet).verdict === "deny") continue;
      expect({ seed, packet, verdict: after.evaluate(packet).verdict }).toEqual({ seed, packet, verdict: "allow" });
    }
  }
});

test("peers and ports that were seen alike are said together, and nothing else is allowed", () => {
  const model = randomCluster(seededRandom(1), { pods: 0, policies: 0 });
  const pod = (namespace: string, name: string, app: string, last: number) => {
    const address = parseAddress(`10.1.1.${last}`);
    const labels = { app, "pod-template-hash": `${last}` };
    model.endpoints.set(`${namespace}/${name}`, {
      namespace,
      pod: name,
      labels,
      addresses: [address],
      ports: [],
      node: "n1",
    });
    return { kind: "pod", namespace, name, labels, address } as const;
  };
  const [web, db, web2] = [pod("a", "web-1", "web", 2), pod("b", "db-1", "db", 3), pod("a", "web-2", "web", 4)];
  const flow = (source: FlowEnd, destination: FlowEnd, port: number): Flow => ({
    ...{ sequence: 1, since: 0, until: 0, verdict: "allow", protocol: 6, port, source, destination, count: 1 },
  });
  const stranger: FlowEnd = { kind: "address", address: parseAddress("1.2.3.4") };
  const flows = [flow(web, db, 5432), flow(web2, db, 5432), flow(stranger, web, 443), flow(stranger, web, 80)];
  const { policies } = suggestPolicies(model, new Set(["a/web-1"]), flows);
  expect(policies).toEqual([
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "web-as-seen", namespace: "a" },
      spec: {
        podSelector: { matchLabels: { app: "web" } },
        policyTypes: ["Ingress", "Egress"],
        ingress: [
          {
            from: [{ ipBlock: { cidr: "1.2.3.4/32" } }],
            ports: [
              { protocol: "TCP", port: 80 },
              { protocol: "TCP", port: 443 },
            ],
          },
        ],
        egress: [
          {
            to: [
              {
                namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "b" } },
                podSelector: { matchLabels: { app: "db" } },
              },
            ],
            ports: [{ protocol: "TCP", port: 5432 }],
          },
        ],
      },
    },
  ]);
});

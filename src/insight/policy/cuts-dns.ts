import { type PolicyModel, protocols } from "../../model/policy.ts";
import { PolicyIndex } from "./applied.ts";
import { bitsWhere } from "./bits.ts";
import { Crowds } from "./crowd.ts";
import { placeOf } from "./explain.ts";
import type { LintFinding } from "./lint.ts";
import { Reachability, reachAt } from "./reach.ts";
import { holds, pointOf } from "./traffic.ts";
import { type Kind, universeOf } from "./universe.ts";

/** As kubeadm, k3s, kops and the clouds label it. */
const dnsLabel = { key: "k8s-app", value: "kube-dns" };
const question = pointOf(protocols.udp, 53);

/**
 * Pods that may reach no DNS server, where the cluster has one: the first thing that "deny all egress" breaks.
 * (Probes need no such look: a node always reaches its own pods.)
 */
export function cutsDns(model: PolicyModel): readonly LintFinding[] {
  const servers = new Set(
    [...model.endpoints].flatMap(([name, { labels }]) => (labels[dnsLabel.key] === dnsLabel.value ? [name] : [])),
  );
  if (servers.size === 0) return [];
  const universe = universeOf([model]);
  const reachability = new Reachability(universe, model);
  const ofServers = new Set([...servers].flatMap((name) => universe.ofEndpoint.get(name) ?? []));
  const index = new PolicyIndex(model);
  /** By the policies that isolate them. */
  const cut = new Map<string, { readonly isolating: ReturnType<PolicyIndex["applied"]>; readonly kinds: Kind[] }>();
  for (const kind of universe.kinds) {
    if (kind.who.of !== "workloads" || kind.who.members.every((name) => servers.has(name))) continue;
    const egress = reachability.reach(kind, "egress");
    const asked = [...ofServers].filter(({ family }) => family === kind.family);
    if (asked.length === 0 || asked.some((server) => holds(reachAt(egress, server), question))) continue;
    const [endpoint] = kind.who.sample;
    if (endpoint === undefined || endpoint.unknown === true) continue;
    const isolating = index.applied(endpoint, "egress");
    const key = JSON.stringify(isolating.flatMap(({ policies }) => policies.map(({ id }) => id)));
    const group = cut.get(key) ?? { isolating, kinds: [] };
    cut.set(key, group);
    group.kinds.push(kind);
  }
  const crowds = new Crowds(universe, model);
  return [...cut.values()].flatMap(({ isolating, kinds }) => {
    const policies = isolating.flatMap((tier) => tier.policies);
    const [first] = policies;
    if (first === undefined) return [];
    const members = new Set(kinds.map(({ index: at }) => at));
    const bits = bitsWhere(universe.kinds.length, (at) => members.has(at));
    const who = crowds
      .describe(crowds.of(bits), kinds[0]?.family ?? 4)
      .slice(0, 4)
      .join(", ");
    const others = policies.length > 1 ? ` (with ${policies.length - 1} more that isolate them)` : "";
    return [
      {
        severity: "warning",
        check: "cuts-dns",
        place: placeOf(first),
        direction: "egress",
        message: `${who} cannot ask DNS${others}: no rule lets UDP 53 out to ${dnsLabel.key}=${dnsLabel.value}`,
        remedy: "allow egress to these pods on UDP and TCP 53, or to nobody by name",
      } as const,
    ];
  });
}

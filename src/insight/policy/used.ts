import type { Prefix } from "../../base/prefix.ts";
import type { EndpointMatch, PeerMatch, Policy, PolicyModel, PolicyRule, Selector } from "../../model/policy.ts";

/** What the policies of some models ask of the cluster: what they do not ask tells nothing apart. */
export interface Used {
  /** Keys of labels of pods and nodes. */
  readonly labels: ReadonlySet<string>;
  readonly networks: ReadonlySet<Prefix>;
  readonly portNames: ReadonlySet<string>;
  readonly serviceAccounts: boolean;
}

export function usedBy(models: readonly PolicyModel[]): Used {
  const [labels, networks, portNames] = [new Set<string>(), new Set<Prefix>(), new Set<string>()];
  let serviceAccounts = false;
  const ask = ({ labels: selector, serviceAccounts: accounts }: EndpointMatch): void => {
    if (selector !== undefined) addKeys(selector, labels);
    serviceAccounts ||= accounts !== undefined;
  };
  for (const policy of new Set(models.flatMap((model) => [...model.policies.values()]))) {
    ask(policy.subject);
    for (const rule of rulesOf(policy)) for (const name of portNamesOf(rule)) portNames.add(name);
    for (const peer of peersOf(policy)) {
      if ("nodes" in peer) addKeys(peer.nodes, labels);
      else if ("endpoints" in peer) ask(peer.endpoints);
      else for (const prefix of [...peer.networks, ...peer.except]) networks.add(prefix);
    }
  }
  return { labels, networks, portNames, serviceAccounts };
}

export const rulesOf = (policy: Policy): readonly PolicyRule[] => [...(policy.ingress ?? []), ...(policy.egress ?? [])];

/** Leaves of all its rules' peers. */
export const peersOf = (policy: Policy): readonly PeerLeaf[] =>
  rulesOf(policy).flatMap(({ source, destination }) =>
    [source, destination].flatMap((peer) => (peer === undefined ? [] : leavesOf(peer))),
  );

export type PeerLeaf = Extract<PeerMatch, { endpoints: EndpointMatch } | { networks: unknown } | { nodes: Selector }>;

export function leavesOf(peer: PeerMatch): readonly PeerLeaf[] {
  if ("any" in peer) return peer.any.flatMap(leavesOf);
  if ("all" in peer) return peer.all.flatMap(leavesOf);
  return "not" in peer ? leavesOf(peer.not) : [peer];
}

function addKeys(selector: Selector, keys: Set<string>): void {
  switch (selector.op) {
    case "all":
      return;
    case "not":
      addKeys(selector.of, keys);
      return;
    case "and":
    case "or":
      for (const of of selector.of) addKeys(of, keys);
      return;
    default:
      keys.add(selector.key);
  }
}

/** Names of ports that its rules ask for. */
export const portNamesOf = (rule: PolicyRule): readonly string[] =>
  [...(rule.traffic ?? []), ...(rule.notTraffic ?? [])].flatMap((match) =>
    "portName" in match ? [match.portName] : [],
  );

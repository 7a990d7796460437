import { parseAddress } from "../../src/base/address.ts";
import { contains, parsePrefix } from "../../src/base/prefix.ts";
import { selects } from "./labels.ts";
import type { ClusterNetworkPolicyObject, ClusterPeer, ClusterPort, ClusterProtocol, ClusterRule } from "./objects.ts";
import {
  destinationPod,
  hasSelectedLabels,
  inSelectedNamespace,
  namedPorts,
  peerNode,
  peerPod,
  type Situation,
} from "./situation.ts";

export type ClusterAnswer =
  | { readonly action: "Accept" | "Deny"; readonly policy: ClusterNetworkPolicyObject; readonly rule: number }
  /** No rule matched, or one passed it on. */
  | { readonly action: "none" };

/** What the policies of one tier say of a flow at one end. */
export function askTier(tier: "Admin" | "Baseline", situation: Situation): ClusterAnswer {
  const policies = situation.cluster.policies
    .filter((policy): policy is ClusterNetworkPolicyObject => policy.kind === "ClusterNetworkPolicy")
    .filter(({ spec }) => spec.tier === tier)
    .filter((policy) => isSubject(policy, situation))
    // "Policies with lower priority values have higher precedence." With the same priority "the implementation can apply any of
    // the matching policies": Twill's choice is the first by name, so that every node makes the same.
    .sort((a, b) => a.spec.priority - b.spec.priority || (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const policy of policies) {
    const rules = (situation.direction === "ingress" ? policy.spec.ingress : policy.spec.egress) ?? [];
    // "A rule that appears at the top of the rules would take the highest precedence."
    for (const [rule, of] of rules.entries()) {
      const action = effectOf(of, situation);
      if (action === "Accept" || action === "Deny") return { action, policy, rule };
      // "Pass: Skips all further ClusterNetworkPolicy rules in the current tier for the selected traffic, and passes evaluation
      // to the next tier."
      if (action === "Pass") return { action: "none" };
    }
  }
  // "CNPs with no ingress rules do not affect ingress traffic": nor does any that has none which matches. No implicit isolation.
  return { action: "none" };
}

/** "Exactly one field must be set. Note that host-networked pods are not included in subject selection." */
function isSubject({ spec }: ClusterNetworkPolicyObject, { cluster, pod }: Situation): boolean {
  const { namespaces, pods } = spec.subject;
  if (namespaces !== undefined) return inSelectedNamespace(cluster, namespaces, pod);
  if (pods === undefined) return false;
  return inSelectedNamespace(cluster, pods.namespaceSelector, pod) && hasSelectedLabels(pods.podSelector, pod);
}

function effectOf(rule: ClusterRule, situation: Situation): "Accept" | "Deny" | "Pass" | undefined {
  const peers = (situation.direction === "ingress" ? rule.from : rule.to) ?? [];
  // "If an implementation sees no fields are set then it can infer that the deployed CRD is of an incompatible version with an
  // unknown field. In that case it should fail closed. For Accept rules: treat the rule as matching no traffic. For Deny and Pass
  // rules: treat the rule as a 'Deny all' rule."
  if (peers.some((peer) => !isKnown(peer, situation))) return rule.action === "Accept" ? undefined : "Deny";
  // "If any element matches the source of incoming traffic then the specified action is applied."
  if (!peers.some((peer) => matchesPeer(peer, situation))) return undefined;
  // "If unspecified, protocol-specific attributes will not be used to match traffic."
  const { protocols } = rule;
  if (protocols !== undefined && !protocols.some((protocol) => matchesProtocol(protocol, situation))) return undefined;
  return rule.action;
}

/** Names of domains are not resolved (yet), so they are a peer that is not understood. Nodes and networks are no sources. */
const isKnown = (peer: ClusterPeer, { direction }: Situation): boolean =>
  peer.namespaces !== undefined ||
  peer.pods !== undefined ||
  (direction === "egress" && (peer.nodes !== undefined || peer.networks !== undefined));

function matchesPeer({ namespaces, pods, nodes, networks }: ClusterPeer, situation: Situation): boolean {
  const { cluster, peer } = situation;
  // "Networks defines a way to select peers via CIDR blocks … cluster-internal traffic will be checked against the rule as well."
  if (networks !== undefined) return networks.some((cidr) => contains(parsePrefix(cidr), parseAddress(peer)));
  // "It selects the nodeIPs as the peer type by matching on the IPs present in the node.Status.Addresses field of the node. If
  // present but empty, it selects all Nodes."
  if (nodes !== undefined) {
    const node = peerNode(situation);
    return node !== undefined && selects(nodes, node.metadata.labels ?? {});
  }
  const pod = peerPod(situation);
  if (pod === undefined) return false;
  // "Namespaces defines a way to select all pods within a set of Namespaces."
  if (namespaces !== undefined) return inSelectedNamespace(cluster, namespaces, pod);
  // "Pods defines a way to select a set of pods in a set of namespaces."
  if (pods === undefined) return false;
  return inSelectedNamespace(cluster, pods.namespaceSelector, pod) && hasSelectedLabels(pods.podSelector, pod);
}

function matchesProtocol(protocol: ClusterProtocol, situation: Situation): boolean {
  const { flow } = situation;
  const { tcp, udp, sctp, destinationNamedPort } = protocol;
  if (tcp !== undefined) return flow.protocol === "TCP" && matchesPort(tcp.destinationPort, flow.port);
  if (udp !== undefined) return flow.protocol === "UDP" && matchesPort(udp.destinationPort, flow.port);
  if (sctp !== undefined) return flow.protocol === "SCTP" && matchesPort(sctp.destinationPort, flow.port);
  if (destinationNamedPort === undefined) return false;
  // "DestinationNamedPort selects a destination port on a pod based on the ContainerPort name."
  const pod = destinationPod(situation);
  const ports = pod === undefined ? [] : namedPorts(pod, destinationNamedPort);
  return ports.some(({ protocol, port }) => protocol === flow.protocol && port === flow.port);
}

/** "Number defines a network port value." "Range defines a contiguous range of ports", from start to end inclusive. */
function matchesPort(port: ClusterPort | undefined, wanted: number): boolean {
  if (port === undefined) return true;
  if (port.number !== undefined) return port.number === wanted;
  return port.range !== undefined && wanted >= port.range.start && wanted <= port.range.end;
}

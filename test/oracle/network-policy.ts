import { parseAddress } from "../../src/base/address.ts";
import { contains, parsePrefix } from "../../src/base/prefix.ts";
import type { NetworkPolicyObject, NetworkPolicyPeer, NetworkPolicyPort } from "./objects.ts";
import {
  type Direction,
  destinationPod,
  hasSelectedLabels,
  inSelectedNamespace,
  isOwnNode,
  namedPorts,
  peerPod,
  type Situation,
} from "./situation.ts";

/** What the NetworkPolicies of a namespace say of a flow at one end. */
export type NetworkPolicyAnswer =
  /** No NetworkPolicy selects the pod in that direction. */
  | { readonly isolated: false }
  /** `by`: every rule that allows it, as "policy name, rule number from 0". */
  | {
      readonly isolated: true;
      readonly policies: readonly NetworkPolicyObject[];
      readonly ownNode: boolean;
      readonly by: readonly RuleOf[];
    };

export interface RuleOf {
  readonly policy: NetworkPolicyObject;
  readonly rule: number;
}

export function askNetworkPolicies(situation: Situation): NetworkPolicyAnswer {
  // "If there is any NetworkPolicy that selects the pod and has 'Ingress' ('Egress') in its policyTypes, the pod is isolated."
  const policies = situation.cluster.policies
    .filter((policy): policy is NetworkPolicyObject => policy.kind === "NetworkPolicy")
    .filter((policy) => appliesTo(policy, situation) && directionsOf(policy).includes(situation.direction));
  if (policies.length === 0) return { isolated: false };
  // "They are additive: the connections allowed in that direction are the union of what the applicable policies allow."
  const by = policies.flatMap((policy) =>
    rulesOf(policy, situation.direction).flatMap(({ peers, ports }, rule) =>
      matchesPeers(peers, policy, situation) && matchesPorts(ports, situation) ? [{ policy, rule }] : [],
    ),
  );
  // "Traffic to and from the node where a Pod is running is always allowed, regardless of the IP address of the Pod or the node."
  return { isolated: true, policies, ownNode: isOwnNode(situation), by };
}

/** "An empty podSelector selects all pods in the namespace." "This field is optional. If it is not specified, it defaults to an empty selector." */
const appliesTo = ({ metadata, spec }: NetworkPolicyObject, { pod }: Situation): boolean =>
  metadata.namespace === pod.metadata.namespace && hasSelectedLabels(spec.podSelector ?? {}, pod);

/**
 * "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and Egress will be set if
 * the NetworkPolicy has any egress rules."
 */
function directionsOf({ spec }: NetworkPolicyObject): Direction[] {
  const types = spec.policyTypes ?? [];
  if (types.length > 0) return types.map((type) => (type === "Ingress" ? "ingress" : "egress"));
  return (spec.egress ?? []).length > 0 ? ["ingress", "egress"] : ["ingress"];
}

interface Rule {
  readonly peers: readonly NetworkPolicyPeer[];
  readonly ports: readonly NetworkPolicyPort[];
}

function rulesOf({ spec }: NetworkPolicyObject, direction: Direction): Rule[] {
  return direction === "ingress"
    ? (spec.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
    : (spec.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

/** "If this field is empty or missing, this rule matches all sources (destinations)." Else: "at least one item in the list". */
const matchesPeers = (
  peers: readonly NetworkPolicyPeer[],
  policy: NetworkPolicyObject,
  situation: Situation,
): boolean => peers.length === 0 || peers.some((peer) => matchesPeer(peer, policy, situation));

function matchesPeer(
  { podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer,
  policy: NetworkPolicyObject,
  situation: Situation,
): boolean {
  if (ipBlock !== undefined) {
    // "ipBlock describes a particular CIDR that is allowed … The except entry describes CIDRs that should not be included."
    const covers = (cidr: string) => contains(parsePrefix(cidr), parseAddress(situation.peer));
    return covers(ipBlock.cidr) && !(ipBlock.except ?? []).some(covers);
  }
  const pod = peerPod(situation);
  if (pod === undefined) return false;
  // "If namespaceSelector is also set, then the peer as a whole selects the pods matching podSelector in the Namespaces selected by
  // namespaceSelector. Otherwise it selects the pods matching podSelector in the policy's own namespace."
  const namespace =
    namespaceSelector === undefined
      ? pod.metadata.namespace === policy.metadata.namespace
      : inSelectedNamespace(situation.cluster, namespaceSelector, pod);
  // "Otherwise it selects all pods in the namespaces selected by namespaceSelector."
  return namespace && hasSelectedLabels(podSelector ?? {}, pod);
}

/** "If this field is empty or missing, this rule matches all ports (traffic not restricted by port)": all protocols, too. */
const matchesPorts = (ports: readonly NetworkPolicyPort[], situation: Situation): boolean =>
  ports.length === 0 || ports.some((port) => matchesPort(port, situation));

function matchesPort({ protocol = "TCP", port, endPort }: NetworkPolicyPort, situation: Situation): boolean {
  const { flow } = situation;
  // "protocol represents the protocol (TCP, UDP, or SCTP) which traffic must match. If not specified, this field defaults to TCP."
  if (flow.protocol !== protocol) return false;
  // "If this field is not provided, this matches all port names and numbers."
  if (port === undefined) return true;
  if (typeof port === "number") {
    // "the range of ports from port to endPort if set, inclusive".
    return flow.port >= port && flow.port <= (endPort ?? port);
  }
  // "This can either be a numerical or named port on a pod."
  const pod = destinationPod(situation);
  return pod !== undefined && namedPorts(pod, port).some((one) => one.protocol === protocol && one.port === flow.port);
}

import { type Address, tryAddress } from "../../src/base/address.ts";
import type { ClusterObjects, NodeObject, PodObject, PortProtocol } from "./objects.ts";

/** Who sends or receives. The address is the one on the wire, which for a node may be any of its own. */
export type Party =
  | { readonly pod: string; readonly address: Address }
  | { readonly node: string; readonly address: Address }
  | { readonly outside: true; readonly address: Address };

/** The first packet of a connection, behind destination NAT and before source NAT. */
export interface Flow {
  readonly from: Party;
  readonly to: Party;
  readonly protocol: PortProtocol | "ICMP" | "GRE";
  /** Destination port; 0 for what has none. */
  readonly port: number;
}

/** "shop/web-1" of a pod. */
export const podName = ({ metadata }: PodObject): string => `${metadata.namespace}/${metadata.name}`;

/** Pods in these phases have stopped: their address may be another's already. */
const isOver = ({ status }: PodObject): boolean => status.phase === "Succeeded" || status.phase === "Failed";

/**
 * Pods that policy knows. NetworkPolicy: "traffic to/from hostNetwork Pods is treated the same as all other traffic to/from the node IP".
 * ClusterNetworkPolicy: "host-networked pods are not included in subject selection", nor in peers.
 */
export const isNetworkPod = (pod: PodObject): boolean => pod.spec.hostNetwork !== true && !isOver(pod);

/** "podIPs holds the IP addresses allocated to the pod. If this field is specified, the 0th entry must match the podIP field." */
export function addressesOfPod(pod: PodObject): Address[] {
  if (!isNetworkPod(pod)) return [];
  const texts = [
    ...(pod.status.podIP === undefined ? [] : [pod.status.podIP]),
    ...(pod.status.podIPs ?? []).map(({ ip }) => ip),
  ];
  return [...new Set(texts.flatMap((text) => tryAddress(text) ?? []))];
}

/** Those of its status, and the tunnel device's: the first address of the node's subnet, by which other nodes see it. */
export const addressesOfNode = ({ status, spec }: NodeObject): Address[] =>
  [
    ...status.addresses.map(({ address }) => address),
    ...(spec?.podCIDRs ?? []).map((cidr) => cidr.split("/")[0] ?? ""),
  ].flatMap((address) => tryAddress(address) ?? []);

export const podWithAddress = (cluster: ClusterObjects, address: Address): PodObject | undefined =>
  cluster.pods.find((pod) => addressesOfPod(pod).includes(address));

export const nodeWithAddress = (cluster: ClusterObjects, address: Address): NodeObject | undefined =>
  cluster.nodes.find((node) => addressesOfNode(node).includes(address));

/** Who an address belongs to. */
export function partyOf(cluster: ClusterObjects, address: Address): Party {
  const pod = podWithAddress(cluster, address);
  if (pod !== undefined) return { pod: podName(pod), address };
  const node = nodeWithAddress(cluster, address);
  return node === undefined ? { outside: true, address } : { node: node.metadata.name, address };
}

const whoIs = (party: Party): string =>
  "pod" in party ? `pod ${party.pod}` : "node" in party ? `node ${party.node}` : "outside";

export const flowText = ({ from, to, protocol, port }: Flow): string =>
  `${whoIs(from)} (${from.address}) -> ${whoIs(to)} (${to.address}) ${protocol}${port === 0 ? "" : ` ${port}`}`;

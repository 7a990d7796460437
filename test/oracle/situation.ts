import type { Address } from "../../src/base/address.ts";
import { addressesOfPod, type Flow, nodeWithAddress, podName } from "./flow.ts";
import { namespaceLabels, selects } from "./labels.ts";
import type { ClusterObjects, Container, LabelSelector, NodeObject, PodObject } from "./objects.ts";

export type Direction = "ingress" | "egress";

/** One end of a flow, as its policies see it. */
export interface Situation {
  readonly cluster: ClusterObjects;
  readonly direction: Direction;
  readonly flow: Flow;
  /** Whose policies are asked: the sender for egress, the receiver for ingress. */
  readonly pod: PodObject;
  /** The other end's address. */
  readonly peer: Address;
}

/** The pod at the other end, if it is one. */
export function peerPod({ cluster, peer }: Situation): PodObject | undefined {
  return cluster.pods.find((pod) => addressesOfPod(pod).includes(peer));
}

export const peerNode = ({ cluster, peer }: Situation): NodeObject | undefined => nodeWithAddress(cluster, peer);

/** Is the other end the machine on which the pod runs, or something on its host network. */
export const isOwnNode = ({ pod, flow, direction, cluster, peer }: Situation): boolean => {
  const party = direction === "egress" ? flow.to : flow.from;
  const node = "node" in party ? party.node : nodeWithAddress(cluster, peer)?.metadata.name;
  return node !== undefined && node === pod.spec.nodeName;
};

export function labelsOfNamespace(cluster: ClusterObjects, name: string): Readonly<Record<string, string>> {
  const object = cluster.namespaces.find(({ metadata }) => metadata.name === name);
  return namespaceLabels(name, object?.metadata.labels);
}

export const inSelectedNamespace = (cluster: ClusterObjects, selector: LabelSelector, pod: PodObject): boolean =>
  selects(selector, labelsOfNamespace(cluster, pod.metadata.namespace));

export const hasSelectedLabels = (selector: LabelSelector, pod: PodObject): boolean =>
  selects(selector, pod.metadata.labels ?? {});

/** Ports of a pod that have a name: of its containers, and of its sidecars (init containers that go on running). */
export function namedPorts(pod: PodObject, name: string): { readonly protocol: string; readonly port: number }[] {
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const containers: readonly Container[] = [...pod.spec.containers, ...sidecars];
  return containers
    .flatMap(({ ports = [] }) => ports)
    .filter((port) => port.name === name)
    .map(({ protocol = "TCP", containerPort }) => ({ protocol, port: containerPort }));
}

/** The pod whose port a flow goes to: for ingress the subject itself, for egress the peer. */
export function destinationPod(situation: Situation): PodObject | undefined {
  return situation.direction === "ingress" ? situation.pod : peerPod(situation);
}

export const isSame = (a: PodObject, b: PodObject | undefined): boolean => b !== undefined && podName(a) === podName(b);

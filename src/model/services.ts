import type { Address, Family } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";

/**
 * Services as they are meant: what Kubernetes' Services and EndpointSlices say (docs/design/services.md). Services without anything to
 * translate (headless, ExternalName), and those of another proxy, are not in it.
 */
export interface ServicesModel {
  readonly services: ReadonlyMap<ServiceName, Service>;
  /** By "namespace/slice". A Service may have several. */
  readonly slices: ReadonlyMap<string, EndpointSlice>;
}

/** "namespace/name" */
export type ServiceName = string;

export const serviceName = ({ namespace, name }: { readonly namespace: string; readonly name: string }): ServiceName =>
  `${namespace}/${name}`;

/** Which endpoints traffic may go to: all of the cluster, or those of the node where it is. */
export type TrafficScope = "cluster" | "local";

export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** One a family at most. */
  readonly clusterAddresses: readonly Address[];
  readonly externalAddresses: readonly Address[];
  /** Those whose ipMode is VIP: with Proxy, packets must reach the balancer itself. */
  readonly loadBalancerAddresses: readonly Address[];
  /** Who may use `loadBalancerAddresses`. Absent: anyone. */
  readonly sourceRanges?: readonly Prefix[];
  readonly ports: readonly ServicePort[];
  /** Connections of one client go to one endpoint while they follow each other within so many seconds. */
  readonly affinitySeconds?: number;
  /** For clients outside of the cluster. */
  readonly externalPolicy: TrafficScope;
  /** For the cluster's addresses. */
  readonly internalPolicy: TrafficScope;
  /** Where a load balancer asks how many endpoints a node has. */
  readonly healthCheckPort?: number;
}

export interface ServicePort {
  /** Ties it to the ports of EndpointSlices. Empty: the only one. */
  readonly name: string;
  /** IANA number. */
  readonly protocol: number;
  readonly port: number;
  readonly nodePort?: number;
}

export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** Name of its Service, in the same namespace. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SlicePort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

export interface SliceEndpoint {
  readonly address: Address;
  /** Of publishNotReadyAddresses too: whoever writes the slice has heeded it. */
  readonly ready: boolean;
  /** It answers, though it may be terminating. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly node?: string;
  readonly zone?: string;
  /** For clients in these zones, or on these nodes. Absent: nothing was said. */
  readonly forZones?: readonly string[];
  readonly forNodes?: readonly string[];
  /** "namespace/pod". */
  readonly pod?: string;
}

/** The node that Services are compiled for. */
export interface ServicesNode {
  readonly name: string;
  /** topology.kubernetes.io/zone */
  readonly zone?: string;
}

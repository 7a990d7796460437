import type { Address, Family } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";
import type { ServiceName } from "./services.ts";

/**
 * What Services are on one node. A pure function of model and node; names are content, so an incremental result equals a fresh one.
 * Every map may be changed entry by entry (`ServicesChange`).
 */
export interface ServicesState {
  readonly frontends: ReadonlyMap<FrontendKey, Frontend>;
  /** By `nodePortKey`: on whichever of the node's addresses are chosen. */
  readonly nodePorts: ReadonlyMap<NodePortKey, Frontend>;
  readonly pools: ReadonlyMap<PoolName, Pool>;
  /** Clusters' addresses: what asks them for a port that no frontend has is refused. */
  readonly clusterAddresses: ReadonlySet<Address>;
}

/** Entries that are other than before; undefined: gone. */
export interface ServicesChange {
  readonly frontends: ReadonlyMap<FrontendKey, Frontend | undefined>;
  readonly nodePorts: ReadonlyMap<NodePortKey, Frontend | undefined>;
  readonly pools: ReadonlyMap<PoolName, Pool | undefined>;
  /** True: there. */
  readonly clusterAddresses: ReadonlyMap<Address, boolean>;
}

export type FrontendKey = string & { readonly __frontendKey: true };
export type NodePortKey = string & { readonly __nodePortKey: true };
/** "4 shop/web:http/tcp cluster": family, Service, port, and which of its endpoints on what terms. */
export type PoolName = string & { readonly __poolName: true };

export const frontendKey = (address: Address, protocol: number, port: number): FrontendKey =>
  `${address}/${protocol}/${port}` as FrontendKey;
export const nodePortKey = (family: Family, protocol: number, port: number): NodePortKey =>
  `${family}/${protocol}/${port}` as NodePortKey;

/** Where a Service is asked for. */
export interface Frontend {
  readonly service: ServiceName;
  /** For pods and for this node. */
  readonly inside: PoolName;
  /** For everybody else. */
  readonly outside: PoolName;
}

/** Endpoints of one port of a Service, and the terms on which they are given. */
export interface Pool {
  readonly service: ServiceName;
  readonly family: Family;
  readonly protocol: number;
  /** Sorted by address, then port; no two alike. */
  readonly backends: readonly Backend[];
  /**
   * Without backends. "refuse": TCP reset or ICMP port unreachable, for nobody in the cluster answers. "drop": only this node has none, so that a
   * load balancer takes another.
   */
  readonly empty: "refuse" | "drop";
  readonly affinitySeconds?: number;
  /** Of its own family, perhaps none. Who is in none of them is dropped. Absent: anyone. */
  readonly sourceRanges?: readonly Prefix[];
}

export interface Backend {
  readonly address: Address;
  readonly port: number;
  /** On this node. */
  readonly local: boolean;
}

/** What a load balancer that asks `Service.healthCheckPort` of this node is told. */
export interface HealthCheck {
  readonly service: ServiceName;
  /** Ready endpoints of this node. */
  readonly localEndpoints: number;
}

/** For `twill service show`: an endpoint of a Service, and why it is used on this node or not. */
export interface EndpointAccount {
  readonly address: Address;
  readonly port: number;
  readonly portName: string;
  readonly pod?: string;
  readonly node?: string;
  /** Pools that it is in. */
  readonly pools: readonly PoolName[];
  readonly reason: EndpointReason;
}

export type EndpointReason =
  | "ready"
  /** It terminates, but still answers, and no endpoint is ready. */
  | "serving while terminating"
  | "not ready"
  | "terminating"
  /** Hints keep it for clients of other zones or nodes. */
  | "for another zone"
  | "for another node"
  /** The Service's policies ask for endpoints of this node. */
  | "not on this node";

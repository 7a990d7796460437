import { type NftReport, NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type Address, familyOf, parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { ServicesCompiler } from "../../src/compile/services/services-compiler.ts";
import { protocols } from "../../src/model/policy.ts";
import type { EndpointSlice, Service, SliceEndpoint } from "../../src/model/services.ts";
import { ServicesRendering } from "../../src/render/services/services-rendering.ts";
import type { BareNode } from "../conformance/rig/bare-cluster.ts";
import { underlayOf } from "../conformance/rig/plan.ts";

export const clusterNetworks = ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix);

export const a = parseAddress;

/** A Service with one address, port 80 over TCP. */
export const service = (name: string, address: Address, rest: Partial<Service> = {}): Service => ({
  namespace: "shop",
  name,
  clusterAddresses: [address],
  externalAddresses: [],
  loadBalancerAddresses: [],
  ports: [{ name: "http", protocol: protocols.tcp, port: 80 }],
  externalPolicy: "cluster",
  internalPolicy: "cluster",
  ...rest,
});

export const endpoint = (address: Address, node: string, rest: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
  address,
  node,
  ready: true,
  serving: true,
  terminating: false,
  ...rest,
});

/** All ports of the Service, at 8080 and up. */
export const slice = (of: Service, endpoints: readonly SliceEndpoint[], name = of.name): EndpointSlice => ({
  namespace: of.namespace,
  name,
  service: of.name,
  family: familyOf(of.clusterAddresses[0] ?? a("0.0.0.0")),
  ports: of.ports.map((port, index) => ({ name: port.name, protocol: port.protocol, port: 8080 + index })),
  endpoints,
});

/** A model that a test changes by hand. */
export class HandModel {
  readonly services = new Map<string, Service>();
  readonly slices = new Map<string, EndpointSlice>();
  readonly model = { services: this.services, slices: this.slices };

  put(one: Service, ...slices: readonly EndpointSlice[]): string {
    const name = `${one.namespace}/${one.name}`;
    this.remove(name);
    this.services.set(name, one);
    for (const each of slices) this.slices.set(`${each.namespace}/${each.name}`, each);
    return name;
  }

  remove(name: string): string {
    this.services.delete(name);
    for (const each of this.slicesOf(name)) this.slices.delete(`${each.namespace}/${each.name}`);
    return name;
  }

  slicesOf(name: string): EndpointSlice[] {
    return [...this.slices.values()].filter((each) => `${each.namespace}/${each.service}` === name);
  }
}

/** Services on one node, as an agent has them. */
export class ServiceNode {
  readonly model = new HandModel();
  readonly keeper: NftTableKeeper;
  readonly compiler: ServicesCompiler;
  readonly rendering: ServicesRendering;

  constructor(node: BareNode, zone?: string) {
    this.keeper = new NftTableKeeper({ nft: node.nft, log: silentLog, family: "inet", name: "twill" });
    this.compiler = new ServicesCompiler(this.model, { name: node.name, ...(zone !== undefined && { zone }) });
    this.rendering = new ServicesRendering({
      clusterNetworks,
      nodeAddresses: new Set([underlayOf(node.number, 4), underlayOf(node.number, 6)]),
    });
    this.apply();
  }

  apply(): NftReport {
    return this.keeper.apply(this.rendering.table(this.compiler.state));
  }

  put(one: Service, ...slices: readonly EndpointSlice[]): NftReport {
    return this.#changed(this.model.put(one, ...slices));
  }

  remove(name: string): NftReport {
    return this.#changed(this.model.remove(name));
  }

  #changed(name: string): NftReport {
    const change = this.compiler.change({ services: new Set([name]), endpoints: new Set() });
    const patch = this.rendering.change(change);
    return patch === undefined ? this.apply() : this.keeper.patch(patch);
  }

  off(): void {
    this.keeper.remove();
  }
}

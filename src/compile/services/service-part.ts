import { type Address, compareAddresses, type Family, familyOf } from "../../base/address.ts";
import { prefixFamily } from "../../base/prefix.ts";
import {
  type EndpointSlice,
  type Service,
  type ServiceName,
  type ServicePort,
  type ServicesNode,
  serviceName,
  type TrafficScope,
} from "../../model/services.ts";
import {
  type Backend,
  type EndpointAccount,
  type Frontend,
  type FrontendKey,
  frontendKey,
  type HealthCheck,
  type NodePortKey,
  nodePortKey,
  type Pool,
  type PoolName,
} from "../../model/services-state.ts";
import { type Candidate, type Choice, chooseEndpoints } from "./choose-endpoints.ts";

/** What one Service wants to be on a node: a pure function of it, its slices and the node. */
export interface ServicePart {
  readonly frontends: ReadonlyMap<FrontendKey, Frontend>;
  readonly nodePorts: ReadonlyMap<NodePortKey, Frontend>;
  readonly pools: ReadonlyMap<PoolName, Pool>;
  readonly clusterAddresses: readonly Address[];
  /** Of a Service that load balancers ask for, by port. */
  readonly healthChecks: ReadonlyMap<number, HealthCheck>;
}

export function compileService(service: Service, slices: readonly EndpointSlice[], node: ServicesNode): ServicePart {
  const builder = new PartBuilder(service, node);
  for (const family of familiesOf(service)) {
    for (const port of service.ports) builder.addPort(family, port, candidatesOf(slices, family, port));
  }
  return builder.part;
}

/** Every endpoint of a Service, and why traffic of this node reaches it or not. */
export function endpointAccounts(
  service: Service,
  slices: readonly EndpointSlice[],
  node: ServicesNode,
): readonly EndpointAccount[] {
  const { pools } = compileService(service, slices, node);
  return familiesOf(service).flatMap((family) =>
    service.ports.flatMap((port) => {
      const candidates = candidatesOf(slices, family, port);
      const { reasons } = chooseEndpoints(candidates, node);
      return candidates.map((candidate, index): EndpointAccount => {
        const used = [...pools].filter(
          ([, pool]) => pool.protocol === port.protocol && pool.backends.some((each) => isSame(each, candidate)),
        );
        const reason = reasons[index] ?? "not ready";
        return {
          address: candidate.address,
          port: candidate.port,
          portName: port.name,
          ...(candidate.pod !== undefined && { pod: candidate.pod }),
          ...(candidate.node !== undefined && { node: candidate.node }),
          pools: used.map(([name]) => name),
          reason: used.length === 0 && isUsable(reason) ? "not on this node" : reason,
        };
      });
    }),
  );
}

const isUsable = (reason: EndpointAccount["reason"]): boolean =>
  reason === "ready" || reason === "serving while terminating";
const isSame = (a: Backend, b: Candidate): boolean => a.address === b.address && a.port === b.port;

const familiesOf = ({ clusterAddresses }: Service): readonly Family[] => [...new Set(clusterAddresses.map(familyOf))];

/**
 * Of all slices. An endpoint that stands in two, as when it moves from one to the other, counts once, as the one that can do more.
 * Sorted, so that it does not matter which slice came first.
 */
function candidatesOf(slices: readonly EndpointSlice[], family: Family, { name, protocol }: ServicePort): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const port of slice.ports) {
      if (port.name !== name || port.protocol !== protocol) continue;
      for (const endpoint of slice.endpoints) {
        const candidate = { ...endpoint, port: port.port };
        const key = `${endpoint.address} ${port.port}`;
        const known = found.get(key);
        if (known === undefined || isBetter(candidate, known)) found.set(key, candidate);
      }
    }
  }
  return [...found.values()].sort((a, b) => compareAddresses(a.address, b.address) || a.port - b.port);
}

const worth = ({ ready, serving }: Candidate): number => (ready ? 2 : 0) + (serving ? 1 : 0);

/** By content where they are worth the same, so that the order of slices does not show. */
function isBetter(a: Candidate, b: Candidate): boolean {
  const difference = worth(a) - worth(b);
  return difference > 0 || (difference === 0 && JSON.stringify(a) < JSON.stringify(b));
}

class PartBuilder {
  readonly #service: Service;
  readonly #name: ServiceName;
  readonly #node: ServicesNode;
  readonly #frontends = new Map<FrontendKey, Frontend>();
  readonly #nodePorts = new Map<NodePortKey, Frontend>();
  readonly #pools = new Map<PoolName, Pool>();
  /** Addresses of ready endpoints of this node: a pod with several ports counts once. */
  readonly #ready = new Set<Address>();

  constructor(service: Service, node: ServicesNode) {
    this.#service = service;
    this.#name = serviceName(service);
    this.#node = node;
  }

  get part(): ServicePart {
    const { clusterAddresses, healthCheckPort } = this.#service;
    const check = { service: this.#name, localEndpoints: this.#ready.size };
    const healthChecks = new Map(healthCheckPort === undefined ? [] : [[healthCheckPort, check] as const]);
    return {
      frontends: this.#frontends,
      nodePorts: this.#nodePorts,
      pools: this.#pools,
      clusterAddresses,
      healthChecks,
    };
  }

  addPort(family: Family, port: ServicePort, candidates: readonly Candidate[]): void {
    const { clusterAddresses, externalAddresses, loadBalancerAddresses, sourceRanges } = this.#service;
    const { internalPolicy, externalPolicy } = this.#service;
    const choice = chooseEndpoints(candidates, this.#node);
    for (const { ready, address } of choice.local) if (ready) this.#ready.add(address);
    const pool = (scope: TrafficScope, guarded = false): PoolName =>
      this.#pool(family, port, scope, choice, guarded ? sourceRanges : undefined);
    const put = (addresses: readonly Address[], inside: () => PoolName, outside: () => PoolName): void => {
      for (const address of addresses) {
        if (familyOf(address) !== family) continue;
        const frontend = { service: this.#name, inside: inside(), outside: outside() };
        this.#frontends.set(frontendKey(address, port.protocol, port.port), frontend);
      }
    };
    const internal = () => pool(internalPolicy);
    // Pods and this node reach external addresses as if from nowhere in particular: any endpoint will do.
    const anywhere = () => pool("cluster");
    const external = () => pool(externalPolicy);
    put(externalAddresses, anywhere, external);
    const guarded = sourceRanges !== undefined;
    put(
      loadBalancerAddresses,
      () => pool("cluster", guarded),
      () => pool(externalPolicy, guarded),
    );
    put(clusterAddresses, internal, internal);
    if (port.nodePort === undefined) return;
    this.#nodePorts.set(nodePortKey(family, port.protocol, port.nodePort), {
      service: this.#name,
      inside: anywhere(),
      outside: external(),
    });
  }

  #pool(
    family: Family,
    port: ServicePort,
    scope: TrafficScope,
    choice: Choice,
    ranges: Service["sourceRanges"],
  ): PoolName {
    const { affinitySeconds } = this.#service;
    const guard = ranges === undefined ? "" : " from ranges";
    const name = `${family} ${this.#name}:${port.name || port.port}/${port.protocol} ${scope}${guard}` as PoolName;
    if (this.#pools.has(name)) return name;
    const backends = choice[scope].map(
      ({ address, port: number, node }): Backend => ({ address, port: number, local: node === this.#node.name }),
    );
    this.#pools.set(name, {
      service: this.#name,
      family,
      protocol: port.protocol,
      backends,
      empty: scope === "local" && choice.cluster.length > 0 ? "drop" : "refuse",
      ...(affinitySeconds !== undefined && { affinitySeconds }),
      ...(ranges !== undefined && { sourceRanges: ranges.filter((range) => prefixFamily(range) === family) }),
    });
    return name;
  }
}

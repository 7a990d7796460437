import type { Address } from "../../base/address.ts";
import type { Problem } from "../../base/problem.ts";
import type { ServiceName, ServicesNode } from "../../model/services.ts";
import type { ServicesInputs, ServicesModelChange } from "../../model/services-inputs.ts";
import type {
  EndpointAccount,
  Frontend,
  FrontendKey,
  HealthCheck,
  NodePortKey,
  Pool,
  PoolName,
  ServicesChange,
  ServicesState,
} from "../../model/services-state.ts";
import { Contested } from "./contested.ts";
import { compileService, endpointAccounts, type ServicePart } from "./service-part.ts";

/**
 * Model → ServicesState, kept. A change costs what its Services have; the result is what a fresh compiler would make, whatever came before.
 */
export class ServicesCompiler {
  readonly #inputs: Pick<ServicesInputs, "model" | "slicesOf">;
  #node: ServicesNode;
  readonly #parts = new Map<ServiceName, ServicePart>();
  readonly #frontends = new Merged<FrontendKey, Frontend>();
  readonly #nodePorts = new Merged<NodePortKey, Frontend>();
  readonly #pools = new Merged<PoolName, Pool>();
  readonly #clusterAddresses = new Merged<Address, true>();
  readonly #healthChecks = new Map<number, HealthCheck>();

  constructor(inputs: Pick<ServicesInputs, "model" | "slicesOf">, node: ServicesNode) {
    this.#inputs = inputs;
    this.#node = node;
    for (const name of inputs.model.services.keys()) this.#compile(name);
    this.#take();
  }

  /** One live object; entries are replaced, never changed in place. */
  get state(): ServicesState {
    return {
      frontends: this.#frontends.won,
      nodePorts: this.#nodePorts.won,
      pools: this.#pools.won,
      clusterAddresses: new Set(this.#clusterAddresses.won.keys()),
    };
  }

  /** By port; as live as the state. */
  get healthChecks(): ReadonlyMap<number, HealthCheck> {
    return this.#healthChecks;
  }

  change({ services, endpoints }: ServicesModelChange): ServicesChange {
    for (const name of new Set([...services, ...endpoints])) this.#compile(name);
    return this.#take();
  }

  /** The node's zone is another. All Services are compiled again. */
  moved(node: ServicesNode): ServicesChange {
    this.#node = node;
    for (const name of this.#inputs.model.services.keys()) this.#compile(name);
    return this.#take();
  }

  /** Undefined: there is no such Service. */
  accounts(name: ServiceName): readonly EndpointAccount[] | undefined {
    const service = this.#inputs.model.services.get(name);
    return service && endpointAccounts(service, this.#inputs.slicesOf(name), this.#node);
  }

  /** Addresses and ports that several Services claim. */
  problems(): readonly Problem[] {
    const lost = (what: string, key: string, loser: string, winner: string): Problem => ({
      severity: "warning",
      subject: `Service ${loser}`,
      message: `${what} ${key} belongs to Service ${winner}`,
      remedy: "give one of the two another address or port",
      reason: "ServiceConflict",
    });
    return [...this.#parts].flatMap(([name, { frontends, nodePorts }]) => [
      ...[...frontends.keys()].flatMap((key) => {
        const winner = this.#frontends.won.get(key)?.service;
        return winner === undefined || winner === name ? [] : [lost("address", key, name, winner)];
      }),
      ...[...nodePorts.keys()].flatMap((key) => {
        const winner = this.#nodePorts.won.get(key)?.service;
        return winner === undefined || winner === name ? [] : [lost("node port", key, name, winner)];
      }),
    ]);
  }

  #compile(name: ServiceName): void {
    const service = this.#inputs.model.services.get(name);
    const before = this.#parts.get(name);
    const after = service && compileService(service, this.#inputs.slicesOf(name), this.#node);
    this.#frontends.replace(name, before?.frontends, after?.frontends);
    this.#nodePorts.replace(name, before?.nodePorts, after?.nodePorts);
    this.#pools.replace(name, before?.pools, after?.pools);
    const addresses = (part: ServicePart | undefined) =>
      part && new Map(part.clusterAddresses.map((address) => [address, true as const]));
    this.#clusterAddresses.replace(name, addresses(before), addresses(after));
    // The API server gives each port to one Service only.
    for (const port of before?.healthChecks.keys() ?? []) this.#healthChecks.delete(port);
    for (const [port, check] of after?.healthChecks ?? []) this.#healthChecks.set(port, check);
    if (after === undefined) this.#parts.delete(name);
    else this.#parts.set(name, after);
  }

  #take(): ServicesChange {
    const addresses = [...this.#clusterAddresses.take()].map(([address, there]) => [address, there === true] as const);
    return {
      frontends: this.#frontends.take(),
      nodePorts: this.#nodePorts.take(),
      pools: this.#pools.take(),
      clusterAddresses: new Map(addresses),
    };
  }
}

/** Entries of all Services, each key with the one that has won it, and which keys are other than at the last `take`. */
class Merged<K extends string, V> {
  readonly won = new Map<K, V>();
  readonly #claims = new Contested<K, V>();
  /** As they were at the last `take`. */
  readonly #before = new Map<K, V | undefined>();

  replace(owner: ServiceName, before: ReadonlyMap<K, V> | undefined, after: ReadonlyMap<K, V> | undefined): void {
    for (const key of before?.keys() ?? []) {
      if (after?.has(key) === true) continue;
      this.#claims.release(key, owner);
      this.#settle(key);
    }
    for (const [key, value] of after ?? []) {
      const known = before?.get(key);
      if (known !== undefined && Bun.deepEquals(known, value, true)) continue;
      this.#claims.claim(key, owner, value);
      this.#settle(key);
    }
  }

  #settle(key: K): void {
    const now = this.#claims.winner(key)?.value;
    const held = this.won.get(key);
    if (held === now) return;
    if (!this.#before.has(key)) this.#before.set(key, held);
    if (now === undefined) this.won.delete(key);
    else this.won.set(key, now);
  }

  take(): ReadonlyMap<K, V | undefined> {
    const changed = new Map<K, V | undefined>();
    for (const [key, before] of this.#before) {
      const now = this.won.get(key);
      if (!Bun.deepEquals(before, now, true)) changed.set(key, now);
    }
    this.#before.clear();
    return changed;
  }
}

import { emptyPeerPlan, type PeerPlan, type PeerPlanner } from "../backend/backend.ts";
import { backendOf } from "../backend/registry.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Lease } from "../model/network.ts";
import type { NodeState, OwnState, PeerState } from "../model/node-state.ts";
import { type Claims, keyClaims, prefixClaims } from "./claims.ts";
import { type CompileInput, ownState } from "./own-state.ts";
import { admit, otherBackend, peerState, tunnelEnd } from "./peer-state.ts";

/**
 * A node's state for one input, kept up to date as leases come, change and go. The input never changes: another input is
 * another compilation, so nothing of the old one can be left over. A peer's part is made from its own lease alone, but for
 * what two nodes cannot both have; there the claims name those whose fate is another, and their parts are made anew.
 */
export class Compilation implements NodeState {
  readonly own: OwnState;
  readonly #input: CompileInput;
  readonly #planner: PeerPlanner;
  readonly #subnets: Claims<Prefix>;
  /** Ethernet addresses of tunnels (`tunnelEnd`): of two cloned machines, one would get the other's packets. */
  readonly #ends: Claims<string>;
  readonly #leases = new Map<string, Lease>();
  readonly #peers = new Map<string, PeerState>();

  constructor(input: CompileInput) {
    const { network, local } = input;
    this.#input = input;
    this.own = ownState(input);
    this.#planner = backendOf(network.backend).peerPlanner(network.backend, network, local);
    this.#subnets = prefixClaims(local.name);
    this.#subnets.set(local.name, local.subnets);
    this.#ends = keyClaims(local.name);
    const ends = this.own.tunnels.map(({ name: device, mac }) => tunnelEnd({ device, mac }));
    this.#ends.set(local.name, ends);
  }

  get peers(): ReadonlyMap<string, PeerState> {
    return this.#peers;
  }

  /**
   * Takes these leases, by the names under which they are stored, in the place of what they were; undefined: it is gone.
   * The own one may be among them.
   * @returns the parts that may be other now.
   */
  patch(leases: ReadonlyMap<string, Lease | undefined>): ReadonlyMap<string, PeerState | undefined> {
    const touched = new Set<string>();
    for (const [name, lease] of leases) {
      if (name === this.own.node) continue;
      if (lease === undefined) this.#leases.delete(name);
      else this.#leases.set(name, lease);
      this.#subnets.set(name, lease === undefined ? [] : admit(this.#input, name, lease).subnets);
      touched.add(name);
    }
    for (const name of this.#subnets.settle()) touched.add(name);
    touched.delete(this.own.node);
    const plans = new Map([...touched].map((name) => [name, this.#plan(name)]));
    for (const [name, plan] of plans) this.#ends.set(name, plan.forwarding.map(tunnelEnd));
    for (const name of this.#ends.settle()) touched.add(name);
    touched.delete(this.own.node);
    return new Map([...touched].map((name) => [name, this.#remake(name, plans.get(name) ?? this.#plan(name))]));
  }

  #remake(name: string, plan: PeerPlan): PeerState | undefined {
    const lease = this.#leases.get(name);
    if (lease === undefined) {
      this.#peers.delete(name);
      return undefined;
    }
    const state = peerState({
      admission: admit(this.#input, name, lease),
      subnets: this.#subnets.of(name),
      plan,
      ends: this.#ends.of(name),
      hasTunnel: this.own.tunnels.length > 0,
    });
    this.#peers.set(name, state);
    return state;
  }

  /** What the peer would have if its tunnel ends were its own. */
  #plan(name: string): PeerPlan {
    const lease = this.#leases.get(name);
    const claims = this.#subnets.of(name).filter(({ lostTo }) => lostTo === undefined);
    if (lease === undefined || claims.length === 0) return emptyPeerPlan;
    if (lease.backendType !== this.#input.network.backend.type) return otherBackend(this.#input, lease);
    return this.#planner({ ...lease, subnets: claims.map(({ thing }) => thing) });
  }
}

import { type Address, familyOf } from "../../base/address.ts";
import type {
  Backend,
  Frontend,
  FrontendKey,
  NodePortKey,
  Pool,
  PoolName,
  ServicesChange,
  ServicesState,
} from "../../model/services-state.ts";
import { elementKey, type NftElement, type NftTableContent } from "../../objects/nft.ts";
import { addressData, byteData, concatenated, hostData, type NftData, portData } from "../../objects/nft-data.ts";
import { twillTable } from "../masquerade.ts";
import { type SetChange, SetChanges } from "../set-change.ts";
import { dieFor, largestPool } from "./dice.ts";
import { affineChain, dieChain, dropChain, guardedChain, refuseChain, serviceSets } from "./names.ts";
import { PoolNumbers } from "./pool-numbers.ts";
import { PoolSlots } from "./pool-slots.ts";
import { type ServicesOptions, servicesProgram } from "./program.ts";
import { servicesSets, sized } from "./sets.ts";
import { rangeElements } from "./source-ranges.ts";
import { wayElements, wayTo, wayToRemember } from "./ways.ts";

/** What is not in the state, for it is of the machine or of a setting. */
export interface RenderingOptions extends Pick<ServicesOptions, "clusterNetworks"> {
  /** Addresses of this node on which node ports are, to begin with. */
  readonly nodeAddresses: ReadonlySet<Address>;
}

/** `undefined`: what changed cannot be patched, for a chain is missing: take `table`. */
export type Patch = readonly SetChange[] | undefined;

/** ServicesState as table content, and its changes as changes of elements. Keeps where endpoints stand in their pools. */
export class ServicesRendering {
  readonly #options: RenderingOptions;
  #nodeAddresses: ReadonlySet<Address>;
  readonly #numbers = new PoolNumbers();
  readonly #pools = new Map<PoolName, RenderedPool>();
  /** How many pools an endpoint of this node is in. */
  readonly #local = new Map<Address, number>();
  /** Times of affinity for which there are chains. */
  #seconds: ReadonlySet<number> = new Set();

  constructor(options: RenderingOptions) {
    this.#options = options;
    this.#nodeAddresses = options.nodeAddresses;
  }

  /** Everything that Services put into table `inet twill`. */
  table(state: ServicesState): NftTableContent {
    for (const name of this.#pools.keys()) if (!state.pools.has(name)) this.#numbers.forget(name);
    this.#pools.clear();
    this.#local.clear();
    this.#seconds = new Set([...state.pools.values()].flatMap(({ affinitySeconds }) => affinitySeconds ?? []));
    const changes = this.#changes({
      ...state,
      clusterAddresses: new Map([...state.clusterAddresses].map((address) => [address, true])),
    });
    const elements = new Map<string, readonly NftElement[]>(changes.map(({ set, put }) => [set, put]));
    for (const family of [4, 6] as const) {
      const own = [...this.#nodeAddresses].filter((address) => familyOf(address) === family);
      elements.set(
        serviceSets.nodeAddresses[family],
        own.map((address) => ({ key: addressData(address) })),
      );
    }
    for (const [set, ways] of wayElements(this.#seconds)) elements.set(set, ways);
    const program = servicesProgram({
      clusterNetworks: this.#options.clusterNetworks,
      affinitySeconds: this.#seconds,
    });
    return {
      table: { family: twillTable.family, name: twillTable.table },
      chains: program.map(({ chain }) => chain),
      rules: program.flatMap(({ rules }) => rules),
      sets: servicesSets.map((set) => {
        const all = elements.get(set.name) ?? [];
        return { set: sized(set, all.length), elements: all, role: "apart" };
      }),
    };
  }

  /** What is to be patched, all in one transaction. */
  change(change: ServicesChange): Patch {
    for (const pool of change.pools.values()) {
      if (pool?.affinitySeconds !== undefined && !this.#seconds.has(pool.affinitySeconds)) return undefined;
    }
    return this.#changes(change);
  }

  /** Node ports are on these addresses from now on. */
  moveNodePorts(addresses: ReadonlySet<Address>): readonly SetChange[] {
    const changes = new SetChanges();
    for (const address of this.#nodeAddresses) {
      if (!addresses.has(address)) changes.remove(serviceSets.nodeAddresses[familyOf(address)], addressData(address));
    }
    for (const address of addresses) {
      changes.put(serviceSets.nodeAddresses[familyOf(address)], { key: addressData(address) });
    }
    this.#nodeAddresses = addresses;
    return changes.all();
  }

  /** Of connections' labels. */
  poolNumber(name: PoolName): number | undefined {
    return this.#numbers.find(name);
  }

  #changes(change: ServicesChange): SetChange[] {
    const changes = new SetChanges();
    for (const [name, pool] of change.pools) if (pool !== undefined) this.#putPool(changes, name, pool);
    for (const [key, frontend] of change.frontends) this.#changeFrontend(changes, key, frontend);
    for (const [key, frontend] of change.nodePorts) this.#changeNodePort(changes, key, frontend);
    for (const [address, there] of change.clusterAddresses) {
      const set = serviceSets.clusterAddresses[familyOf(address)];
      if (there) changes.put(set, { key: addressData(address) });
      else changes.remove(set, addressData(address));
    }
    // Last: their numbers are free for others only with the next change.
    for (const [name, pool] of change.pools) if (pool === undefined) this.#removePool(changes, name);
    return changes.all();
  }

  #changeFrontend(changes: SetChanges, key: FrontendKey, frontend: Frontend | undefined): void {
    const [address, protocol, port] = key.split("/") as [Address, string, string];
    const set = serviceSets.frontends[familyOf(address)];
    const data = concatenated(addressData(address), byteData(Number(protocol)), portData(Number(port)));
    if (frontend === undefined) changes.remove(set, data);
    else changes.put(set, { key: data, data: this.#poolsOf(frontend) });
  }

  #changeNodePort(changes: SetChanges, key: NodePortKey, frontend: Frontend | undefined): void {
    const [family, protocol, port] = key.split("/");
    const set = serviceSets.nodePorts[family === "4" ? 4 : 6];
    const data = concatenated(byteData(Number(protocol)), portData(Number(port)));
    if (frontend === undefined) changes.remove(set, data);
    else changes.put(set, { key: data, data: this.#poolsOf(frontend) });
  }

  #poolsOf({ inside, outside }: Frontend): NftData {
    return concatenated(hostData(0), hostData(this.#numbers.of(inside)), hostData(this.#numbers.of(outside)));
  }

  #putPool(changes: SetChanges, name: PoolName, pool: Pool): void {
    const number = this.#numbers.of(name);
    const before = this.#pools.get(name);
    const after: RenderedPool = { pool, slots: before?.slots ?? new PoolSlots(), elements: new Map() };
    this.#pools.set(name, after);
    this.#place(changes, number, after, pool.backends.slice(0, largestPool));
    for (const [set, element] of poolElements(number, after)) {
      after.elements.set(`${set} ${elementKey(element)}`, { set, key: elementKey(element) });
      changes.put(set, element);
    }
    for (const [id, { set, key }] of before?.elements ?? []) if (!after.elements.has(id)) changes.remove(set, key);
    this.#changeMembers(changes, number, before, after);
  }

  #place(changes: SetChanges, number: number, { pool, slots }: RenderedPool, backends: readonly Backend[]): void {
    const set = serviceSets.endpoints[pool.family];
    const { places, gone, come } = slots.become(backends);
    for (const place of places) {
      const key = concatenated(hostData(number), hostData(place));
      const backend = slots.at(place);
      if (backend === undefined) changes.remove(set, key);
      else changes.put(set, { key, data: concatenated(addressData(backend.address), portData(backend.port)) });
    }
    for (const { address, local } of come) if (local) this.#countLocal(changes, address, 1);
    for (const { address, local } of gone) if (local) this.#countLocal(changes, address, -1);
  }

  #changeMembers(changes: SetChanges, number: number, before: RenderedPool | undefined, after: RenderedPool): void {
    const set = serviceSets.members[after.pool.family];
    const keys = (rendered: RenderedPool | undefined): readonly NftData[] =>
      rendered?.pool.affinitySeconds === undefined
        ? []
        : rendered.pool.backends.map(({ address, port }) =>
            concatenated(hostData(number), addressData(address), portData(port)),
          );
    const [had, has] = [keys(before), new Set(keys(after))];
    for (const key of has) changes.put(set, { key });
    for (const key of had) if (!has.has(key)) changes.remove(set, key);
  }

  #removePool(changes: SetChanges, name: PoolName): void {
    const rendered = this.#pools.get(name);
    const number = this.#numbers.find(name);
    if (rendered === undefined || number === undefined) return;
    this.#place(changes, number, rendered, []);
    for (const { set, key } of rendered.elements.values()) changes.remove(set, key);
    this.#changeMembers(changes, number, rendered, { ...rendered, pool: { ...rendered.pool, backends: [] } });
    this.#pools.delete(name);
    this.#numbers.forget(name);
  }

  #countLocal(changes: SetChanges, address: Address, by: 1 | -1): void {
    const count = (this.#local.get(address) ?? 0) + by;
    const set = serviceSets.localEndpoints[familyOf(address)];
    const key = concatenated(addressData(address), addressData(address));
    if (count === 0) {
      this.#local.delete(address);
      changes.remove(set, key);
    } else {
      this.#local.set(address, count);
      if (count === 1 && by === 1) changes.put(set, { key });
    }
  }
}

interface RenderedPool {
  readonly pool: Pool;
  readonly slots: PoolSlots;
  /** Elements beside those of its endpoints, by set and key. */
  readonly elements: Map<string, { readonly set: string; readonly key: string }>;
}

/** Nothing, and the number of the chain (program.ts). */
const way = (number: number): NftData => concatenated(hostData(0), hostData(number));

/** The stages of a pool: in range, as before, a die; those that it has not are passed over. */
function poolElements(number: number, { pool, slots }: RenderedPool): (readonly [string, NftElement])[] {
  const { family, affinitySeconds, sourceRanges, empty } = pool;
  const key = hostData(number);
  const nobody = wayTo(empty === "drop" ? dropChain : refuseChain);
  const die = slots.size === 0 ? nobody : wayTo(dieChain(family, dieFor(slots.size)));
  const isAffine = affinitySeconds !== undefined && slots.size > 0;
  const drawn = isAffine ? wayTo(affineChain(family)) : die;
  const elements: (readonly [string, NftElement])[] = [];
  if (sourceRanges === undefined) elements.push([serviceSets.pools, { key, data: way(drawn) }]);
  else {
    elements.push([serviceSets.pools, { key, data: way(wayTo(guardedChain(family))) }]);
    elements.push([serviceSets.admitted, { key, data: way(drawn) }]);
    for (const each of rangeElements(number, sourceRanges)) elements.push([serviceSets.sourceRanges[family], each]);
  }
  if (isAffine) {
    elements.push([serviceSets.dice, { key, data: way(die) }]);
    elements.push([serviceSets.affine, { key, data: way(wayToRemember(family, affinitySeconds)) }]);
  }
  return elements;
}

import type { Family } from "../../base/address.ts";
import type { NftMapData, NftSet, NftType } from "../../objects/nft.ts";
import { twillTable } from "../masquerade.ts";
import { serviceSets } from "./names.ts";

const addressType: Readonly<Record<Family, NftType>> = { 4: "ipv4_addr", 6: "ipv6_addr" };
const bytes: Readonly<Record<Family, number>> = { 4: 4, 6: 16 };
/** Nothing, inside, outside (program.ts). */
const pools: NftMapData = { type: "concatenation", fields: ["mark", "mark", "mark"], length: 12 };

const define = (
  name: string,
  key: readonly NftType[],
  keyLength: number,
  rest: Partial<NftSet> & { readonly comment: string },
): NftSet => ({ ...twillTable, name, key, keyLength, ...rest });

/** Nothing, and the number of a chain. */
const way: NftMapData = { type: "concatenation", fields: ["mark", "mark"], length: 8 };
const waysOf = (name: string, comment: string): NftSet => define(name, ["mark"], 4, { data: way, comment });

/** Clients that are remembered; one more takes no other's place, but is not remembered. */
const clients = 262_144;

export const servicesSets: readonly NftSet[] = [
  ...([4, 6] as const).flatMap((family) => {
    const address = addressType[family];
    const length = bytes[family];
    const endpoint: NftMapData = { type: "concatenation", fields: [address, "inet_service"], length: length + 4 };
    return [
      define(serviceSets.frontends[family], [address, "inet_proto", "inet_service"], length + 8, {
        data: pools,
        comment: "address, protocol, port: pool for the inside, for the outside",
      }),
      define(serviceSets.nodePorts[family], ["inet_proto", "inet_service"], 8, {
        data: pools,
        comment: "protocol, port: pool for the inside, for the outside",
      }),
      define(serviceSets.nodeAddresses[family], [address], length, { comment: "where node ports are" }),
      define(serviceSets.clusterAddresses[family], [address], length, { comment: "other ports are refused" }),
      define(serviceSets.endpoints[family], ["mark", "mark"], 8, {
        data: endpoint,
        comment: "pool, place: endpoint",
      }),
      define(serviceSets.members[family], ["mark", address, "inet_service"], length + 8, {
        comment: "endpoints of pools with affinity",
      }),
      define(serviceSets.affinity[family], ["mark", address], length + 4, {
        data: endpoint,
        dynamic: true,
        timeout: true,
        size: clients,
        comment: "pool, client: endpoint",
      }),
      define(serviceSets.sourceRanges[family], ["mark", address], length + 4, {
        interval: true,
        comment: "clients of guarded pools",
      }),
      define(serviceSets.localEndpoints[family], [address, address], 2 * length, {
        comment: "endpoints of this node, twice",
      }),
    ];
  }),
  waysOf(serviceSets.pools, "pool: what becomes of a connection"),
  waysOf(serviceSets.admitted, "guarded pool: what becomes of a client that is in range"),
  waysOf(serviceSets.dice, "pool with affinity: how an endpoint is drawn"),
  waysOf(serviceSets.affine, "pool with affinity: for how long"),
  ...Object.values(serviceSets.ways).map((name) =>
    define(name, ["mark"], 4, { data: { type: "verdict" }, comment: "number: chain" }),
  ),
];

/** With room: the set is made anew when it is full. Not for ranges, nor what rules fill. */
export const sized = (set: NftSet, count: number): NftSet =>
  set.interval === true || set.dynamic === true
    ? set
    : { ...set, size: Math.max(1024, 2 ** Math.ceil(Math.log2(Math.max(1, 2 * count)))) };

import type { Family } from "../../base/address.ts";
import type { NftMapData, NftSet, NftSetRole, NftType } from "../../objects/nft.ts";
import { twillTable } from "../masquerade.ts";
import { setNames } from "./names.ts";

const number: NftMapData = { type: "mark", length: 4 };
/** Nothing, and a number (registers.ts). */
const second: NftMapData = { type: "concatenation", fields: ["mark", "mark"], length: 8 };
const addressType: Readonly<Record<Family, NftType>> = { 4: "ipv4_addr", 6: "ipv6_addr" };
const addressLength: Readonly<Record<Family, number>> = { 4: 4, 6: 16 };
const portKey = ["mark", "inet_proto", "inet_service"] as const;

const define = (
  name: string,
  key: readonly NftType[],
  keyLength: number,
  rest: Partial<NftSet> & { readonly comment: string },
): NftSet => ({ ...twillTable, name, key, keyLength, ...rest });

/**
 * Exact sets declare how many elements they take: the kernel then makes a hash without resizing, three times as fast to fill. What has
 * counters (`verdicts`) declares nothing, for to grow it would be made anew and forget them.
 */
export const policySets: readonly NftSet[] = [
  ...([4, 6] as const).flatMap((family) => [
    define(setNames.addresses[family], [addressType[family]], addressLength[family], {
      data: { type: "concatenation", fields: ["mark", "mark", "mark", "mark"], length: 16 },
      comment: "address: class, hints, ingress group, egress group",
    }),
    define(setNames.networks[family], [addressType[family]], addressLength[family], {
      data: number,
      interval: true,
      comment: "what addresses does not name: class",
    }),
    define(setNames.selves[family], [addressType[family], addressType[family]], 2 * addressLength[family], {
      comment: "from a pod to itself, through a Service",
    }),
  ]),
  define(setNames.ports, portKey, 12, { data: second, comment: "group, protocol, port: port class" }),
  define(setNames.portRanges, portKey, 12, {
    data: second,
    interval: true,
    comment: "wide ranges that ports does not hold",
  }),
  define(setNames.icmp, portKey, 12, {
    data: second,
    interval: true,
    comment: "group, protocol, type and code: port class",
  }),
  define(setNames.decisions, ["mark", "mark", "mark", "inet_proto"], 16, {
    data: second,
    comment: "port class, group, class, protocol: decision",
  }),
  define(setNames.verdicts, ["mark"], 4, {
    data: second,
    counter: true,
    comment: "decision: number of its action, and how often it was taken",
  }),
  define(setNames.actions, ["mark"], 4, { data: { type: "verdict" }, comment: "what to do; always the same" }),
  define(setNames.epoch, ["mark"], 4, { data: number, comment: "another number with every change of policy" }),
];

const rows: readonly string[] = [...Object.values(setNames.addresses), ...Object.values(setNames.selves)];
export const roleOf = (name: string): { readonly role?: NftSetRole } =>
  name === setNames.epoch ? { role: "epoch" } : rows.includes(name) ? { role: "rows" } : {};

/** With room: the set is made anew when it is full. Not for ranges, which have no size to gain by, nor for `verdicts`. */
export const sized = (set: NftSet, count: number): NftSet =>
  set.interval === true || set.counter === true ? set : { ...set, size: Math.max(smallest, powerOfTwo(2 * count)) };

const smallest = 1024;
const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, least)));

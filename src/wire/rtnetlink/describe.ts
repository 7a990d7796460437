import { ByteReader } from "../../base/bytes.ts";
import { type MessageFormat, registerFormats } from "../netlink/describe.ts";
import { type AttributeTable, describeAttributes } from "../netlink/describe-attributes.ts";
import * as types from "./message-types.ts";

/** rtnetlink in words, for traces: names of include/uapi/linux/rtnetlink.h and its neighbours, without their prefixes. */
const familyNames: Readonly<Record<number, string>> = { 0: "any", 2: "inet", 7: "bridge", 10: "inet6", 28: "mpls" };
const family = (number: number): string => familyNames[number] ?? `family ${number}`;

/** IFF_*, net/if.h */
const linkFlags: readonly (readonly [number, string])[] = [
  [0x1, "up"],
  [0x2, "broadcast"],
  [0x8, "loopback"],
  [0x40, "running"],
  [0x1000, "multicast"],
  [0x10000, "lower-up"],
];
const bits = (value: number, names: readonly (readonly [number, string])[]): string =>
  names
    .filter(([bit]) => (value & bit) !== 0)
    .map(([, name]) => name)
    .join("|") || "0";

/** Queues, offloads, counters of changes: in every link message, and never what one looks for in a trace of ours. */
const noise = [17, 27, 30, 31, 32, 35, 39, 40, 41, 47, 48, 50, 51, 52, 54, 58, 59, 60, 61, 63, 64, 66, 67, 68, 69];

const linkAttributes: AttributeTable = {
  ...Object.fromEntries(noise.map((type) => [type, ["", "skip"] as const])),
  1: ["address", "mac"],
  2: ["broadcast", "mac"],
  3: ["ifname", "string"],
  4: ["mtu", "u32"],
  5: ["link", "u32"],
  6: ["qdisc", "string"],
  7: ["stats", "skip"],
  10: ["master", "u32"],
  12: ["protinfo", { 4: ["hairpin", "u8"] }],
  13: ["txqlen", "u32"],
  14: ["map", "skip"],
  16: ["operstate", "u8"],
  18: ["linkinfo", describeLinkInfo],
  19: ["netns-pid", "u32"],
  20: ["alias", "string"],
  23: ["stats64", "skip"],
  26: ["af-spec", { 10: ["inet6", { 8: ["addr-gen-mode", "u8"], 1: ["flags", "u32"] }] }],
  28: ["netns-fd", "u32"],
  29: ["ext-mask", "u32"],
  33: ["carrier", "u8"],
  37: ["link-netnsid", "i32"],
  43: ["xdp", "skip"],
};

const portAttributes: AttributeTable = { 1: ["state", "u8"], 4: ["hairpin", "u8"] };
const dataAttributes: Readonly<Record<string, AttributeTable>> = {
  veth: { 1: ["peer", (bytes) => `{${describeLinkHeader(bytes)}; ${describeAttributes(bytes, 16, linkAttributes)}}`] },
  vxlan: {
    1: ["id", "u32"],
    3: ["link", "u32"],
    4: ["local", "address"],
    7: ["learning", "u8"],
    15: ["port", "u16be"],
    17: ["local6", "address"],
    18: ["udp-csum", "u8"],
    19: ["udp-zero-csum6-tx", "u8"],
    20: ["udp-zero-csum6-rx", "u8"],
    23: ["gbp", "flag"],
  },
  bridge: { 7: ["vlan-filtering", "u8"] },
  macvlan: { 1: ["mode", "u32"] },
};

/** IFLA_INFO_DATA can only be read by who knows IFLA_INFO_KIND, which precedes it. */
function describeLinkInfo(bytes: Uint8Array): string {
  const kind = /kind "([a-z0-9]+)"/.exec(describeAttributes(bytes, 0, { 1: ["kind", "string"], 2: ["data", "skip"] }));
  return `{${describeAttributes(bytes, 0, {
    1: ["kind", "string"],
    2: ["data", dataAttributes[kind?.[1] ?? ""] ?? "hex"],
    3: ["xstats", "skip"],
    4: ["port-kind", "string"],
    5: ["port-data", portAttributes],
  })}}`;
}

function describeLinkHeader(header: Uint8Array): string {
  const reader = new ByteReader(header);
  const number = reader.u8();
  reader.skip(3);
  const index = reader.i32();
  const flags = reader.u32();
  const change = reader.u32();
  const changes = change === 0 ? "" : ` (of ${bits(change, linkFlags)})`;
  return `${number === 0 ? "" : `${family(number)} `}index ${index} flags ${bits(flags, linkFlags)}${changes}`;
}

const link: Omit<MessageFormat, "name"> = {
  headerLength: 16,
  header: describeLinkHeader,
  attributes: linkAttributes,
};

const address: Omit<MessageFormat, "name"> = {
  headerLength: 8,
  header: (header) => {
    const reader = new ByteReader(header);
    const [number, length, flags, scope] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
    return `${family(number)} /${length} flags 0x${flags.toString(16)} scope ${scope} dev ${reader.u32()}`;
  },
  attributes: {
    1: ["address", "address"],
    2: ["local", "address"],
    3: ["label", "string"],
    4: ["broadcast", "address"],
    6: ["cacheinfo", "skip"],
    8: ["flags", "u32"],
    11: ["proto", "u8"],
  },
};

const route: Omit<MessageFormat, "name"> = {
  headerLength: 12,
  header: (header) => {
    const reader = new ByteReader(header);
    const [number, to, from, tos] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
    const [table, protocol, scope, type] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
    const flags = reader.u32().toString(16);
    const lengths = `to /${to}${from === 0 ? "" : ` from /${from}`}${tos === 0 ? "" : ` tos ${tos}`}`;
    return `${family(number)} ${lengths} table ${table} protocol ${protocol} scope ${scope} type ${type} flags 0x${flags}`;
  },
  attributes: {
    1: ["dst", "address"],
    2: ["src", "address"],
    3: ["iif", "u32"],
    4: ["oif", "u32"],
    5: ["gateway", "address"],
    6: ["priority", "u32"],
    7: ["prefsrc", "address"],
    8: ["metrics", { 2: ["mtu", "u32"], 8: ["advmss", "u32"] }],
    9: ["multipath", "hex"],
    12: ["cacheinfo", "skip"],
    15: ["table", "u32"],
    16: ["mark", "u32"],
    18: ["via", "hex"],
    20: ["pref", "u8"],
  },
};

const rule: Omit<MessageFormat, "name"> = {
  headerLength: 12,
  header: (header) => {
    const reader = new ByteReader(header);
    const [number, to, from] = [reader.u8(), reader.u8(), reader.u8()];
    reader.skip(1);
    const table = reader.u8();
    reader.skip(2);
    const action = reader.u8();
    return `${family(number)} to /${to} from /${from} table ${table} action ${action} flags ${reader.u32()}`;
  },
  attributes: {
    1: ["dst", "address"],
    2: ["src", "address"],
    3: ["iif", "string"],
    6: ["priority", "u32"],
    10: ["fwmark", "u32"],
    14: ["suppress-prefixlen", "skip"],
    15: ["table", "u32"],
    16: ["fwmask", "u32"],
    17: ["oif", "string"],
    21: ["protocol", "u8"],
  },
};

/** NUD_*, include/uapi/linux/neighbour.h */
const neighbourStates: readonly (readonly [number, string])[] = [
  [0x01, "incomplete"],
  [0x02, "reachable"],
  [0x04, "stale"],
  [0x08, "delay"],
  [0x10, "probe"],
  [0x20, "failed"],
  [0x40, "noarp"],
  [0x80, "permanent"],
];

const neighbour: Omit<MessageFormat, "name"> = {
  headerLength: 12,
  header: (header) => {
    const reader = new ByteReader(header);
    const number = reader.u8();
    reader.skip(3);
    const device = reader.u32();
    const state = bits(reader.u16(), neighbourStates);
    return `${family(number)} dev ${device} state ${state} flags 0x${reader.u8().toString(16)}`;
  },
  attributes: {
    1: ["dst", "address"],
    2: ["lladdr", "mac"],
    3: ["cacheinfo", "skip"],
    4: ["probes", "u32"],
    8: ["ifindex", "u32"],
    9: ["master", "u32"],
  },
};

const netnsId: Omit<MessageFormat, "name"> = {
  headerLength: 4,
  header: (header) => family(header[0] ?? 0),
  attributes: { 1: ["nsid", "i32"], 3: ["fd", "u32"] },
};

const netconf: Omit<MessageFormat, "name"> = {
  headerLength: 4,
  header: (header) => family(header[0] ?? 0),
  attributes: {
    1: ["ifindex", "i32"],
    2: ["forwarding", "i32"],
    3: ["rp-filter", "i32"],
    4: ["mc-forwarding", "i32"],
    5: ["proxy-neigh", "i32"],
    6: ["ignore-routes-with-linkdown", "i32"],
    9: ["bc-forwarding", "i32"],
  },
};

const kinds = [
  ["LINK", types.RTM_NEWLINK, link],
  ["ADDR", types.RTM_NEWADDR, address],
  ["ROUTE", types.RTM_NEWROUTE, route],
  ["NEIGH", types.RTM_NEWNEIGH, neighbour],
  ["RULE", types.RTM_NEWRULE, rule],
  ["NETCONF", types.RTM_NEWNETCONF, netconf],
  ["NSID", types.RTM_NEWNSID, netnsId],
] as const;

const NETLINK_ROUTE = 0;

/** Makes describeDatagram read rtnetlink. */
export function registerRtnetlinkFormats(): void {
  const byType = new Map<number, MessageFormat>([[types.RTM_SETLINK, { ...link, name: "RTM_SETLINK" }]]);
  // The types of one kind stand together: NEW, DEL, GET.
  for (const [name, first, format] of kinds) {
    byType.set(first, { ...format, name: `RTM_NEW${name}` });
    byType.set(first + 1, { ...format, name: `RTM_DEL${name}` });
    byType.set(first + 2, { ...format, name: `RTM_GET${name}`, reads: true });
  }
  registerFormats(NETLINK_ROUTE, "route", byType);
}

import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { macBytes, macFromBytes } from "../../base/mac.ts";
import type { Link, LinkSpec, LinkStatistics } from "../../objects/link.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { decodeLinkKind, encodeLinkKind, kindName } from "./link-kind.ts";
import { AF_BRIDGE, AF_INET6, AF_UNSPEC } from "./message-types.ts";

/** Links: struct ifinfomsg (16 bytes) and IFLA_*, include/uapi/linux/if_link.h. */
const HEADER = 16;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_STATS64 = 23;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_LINK_NETNSID = 37;

const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_MODE = 4;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const VETH_INFO_PEER = 1;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_LOWER_UP = 0x10000;

/** enum in6_addr_gen_mode */
const addressGenerationModes = { eui64: 0, none: 1, "stable-privacy": 2, random: 3 } as const;

interface Header {
  readonly family?: number;
  readonly index?: number;
  readonly flags?: number;
  /** Which of `flags` are meant. */
  readonly change?: number;
}

function header(writer: ByteWriter, { family = AF_UNSPEC, index = 0, flags = 0, change = 0 }: Header): ByteWriter {
  return writer.u8(family).u8(0).u16(0).i32(index).u32(flags).u32(change);
}

/** RTM_GETLINK, one link or (with NLM_F_DUMP) all of them. */
export function encodeLinkQuery(query: { readonly index?: number; readonly name?: string }): Uint8Array {
  const attributes = new AttributeWriter(header(new ByteWriter(64), { index: query.index ?? 0 }));
  if (query.name !== undefined) attributes.string(IFLA_IFNAME, query.name);
  return attributes.finish();
}

/** RTM_DELLINK. */
export const encodeLinkIndex = (index: number): Uint8Array => header(new ByteWriter(HEADER), { index }).bytes();

/** RTM_NEWLINK with NLM_F_CREATE. What the kernel does not take at creation is encodeLinkCompletion's. */
export function encodeLinkSpec(spec: LinkSpec): Uint8Array {
  const attributes = new AttributeWriter(header(new ByteWriter(256), upFlags(spec.up)));
  encodeSpecAttributes(attributes, spec);
  if (spec.lower !== undefined) attributes.u32(IFLA_LINK, spec.lower);
  attributes.nested(IFLA_LINKINFO, (info) => encodeLinkKind(info, spec.kind, peerOf(spec)));
  return attributes.finish();
}

const upFlags = (up: boolean | undefined): Header =>
  up === undefined ? {} : { flags: up ? IFF_UP : 0, change: IFF_UP };

function encodeSpecAttributes(attributes: AttributeWriter, spec: Omit<LinkSpec, "kind" | "peer" | "lower">): void {
  attributes.string(IFLA_IFNAME, spec.name);
  if (spec.mac !== undefined) attributes.raw(IFLA_ADDRESS, macBytes(spec.mac));
  if (spec.mtu !== undefined) attributes.u32(IFLA_MTU, spec.mtu);
  if (spec.master !== undefined) attributes.u32(IFLA_MASTER, spec.master);
  if (spec.netns !== undefined) attributes.u32(IFLA_NET_NS_FD, spec.netns);
}

function peerOf(spec: LinkSpec): ((data: AttributeWriter) => void) | undefined {
  if (spec.kind.type !== "veth") return undefined;
  const name = spec.kind.peer;
  const peer = spec.peer ?? (name === undefined ? undefined : { name });
  if (peer === undefined) return undefined;
  return (data) =>
    data.nested(VETH_INFO_PEER, (inner) => {
      header(inner.bytes, {});
      encodeSpecAttributes(inner, peer);
    });
}

/**
 * RTM_NEWLINK, by name and in the link's own namespace, with what the kernel ignores or refuses while it creates a link:
 * IFLA_IFALIAS, which only do_setlink() reads, and a veth's peer going up, for the peer is configured before the two are
 * joined, and veth_open() refuses an end without a peer (ENOTCONN). undefined when nothing is left to do.
 */
export function encodeLinkCompletion(
  link: Pick<LinkSpec, "name" | "alias" | "up">,
  role: "link" | "peer",
): Uint8Array | undefined {
  const up = role === "peer" && link.up === true;
  if (link.alias === undefined && !up) return undefined;
  const attributes = new AttributeWriter(header(new ByteWriter(64), up ? upFlags(true) : {}));
  attributes.string(IFLA_IFNAME, link.name);
  if (link.alias !== undefined) attributes.string(IFLA_IFALIAS, link.alias);
  return attributes.finish();
}

/** What RTM_NEWLINK without NLM_F_CREATE may change in one message. */
export interface LinkChangeMessage {
  readonly name?: string;
  readonly mac?: Link["mac"];
  readonly mtu?: number;
  readonly up?: boolean;
  readonly master?: number;
  readonly alias?: string;
  readonly netns?: number;
  readonly addressGeneration?: keyof typeof addressGenerationModes;
}

export function encodeLinkChange(index: number, change: LinkChangeMessage): Uint8Array {
  const attributes = new AttributeWriter(header(new ByteWriter(128), { index, ...upFlags(change.up) }));
  if (change.name !== undefined) attributes.string(IFLA_IFNAME, change.name);
  if (change.mac !== undefined) attributes.raw(IFLA_ADDRESS, macBytes(change.mac));
  if (change.mtu !== undefined) attributes.u32(IFLA_MTU, change.mtu);
  if (change.master !== undefined) attributes.u32(IFLA_MASTER, change.master);
  if (change.alias !== undefined) attributes.string(IFLA_IFALIAS, change.alias);
  if (change.netns !== undefined) attributes.u32(IFLA_NET_NS_FD, change.netns);
  const mode = change.addressGeneration;
  if (mode !== undefined) {
    attributes.nested(IFLA_AF_SPEC, (families) =>
      families.nested(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, addressGenerationModes[mode])),
    );
  }
  return attributes.finish();
}

/** RTM_NEWLINK for the attributes of a bridge port. The kernel refuses it (EOPNOTSUPP) while the link is in no bridge. */
export function encodeBridgePort(index: number, port: { readonly hairpin: boolean }): Uint8Array {
  const attributes = new AttributeWriter(header(new ByteWriter(64), { index }));
  attributes.nested(IFLA_LINKINFO, (info) => encodePort(info, port.hairpin));
  return attributes.finish();
}

function encodePort(info: AttributeWriter, hairpin: boolean): void {
  info.string(IFLA_INFO_SLAVE_KIND, "bridge");
  info.nested(IFLA_INFO_SLAVE_DATA, (data) => data.u8(IFLA_BRPORT_MODE, hairpin ? 1 : 0));
}

/** RTM_NEWLINK as the kernel sends it; for tests. */
export function encodeLink(link: Link): Uint8Array {
  const flags = (link.up ? IFF_UP : 0) | (link.carrier ? IFF_LOWER_UP : 0) | (link.loopback ? IFF_LOOPBACK : 0);
  const attributes = new AttributeWriter(header(new ByteWriter(512), { index: link.index, flags }));
  attributes.string(IFLA_IFNAME, link.name).u32(IFLA_MTU, link.mtu);
  if (link.mac !== undefined) attributes.raw(IFLA_ADDRESS, macBytes(link.mac));
  if (link.master !== undefined) attributes.u32(IFLA_MASTER, link.master);
  if (link.lower !== undefined) attributes.u32(IFLA_LINK, link.lower);
  if (link.linkNetns !== undefined) attributes.i32(IFLA_LINK_NETNSID, link.linkNetns);
  if (link.alias !== undefined) attributes.string(IFLA_IFALIAS, link.alias);
  const { statistics, hairpin } = link;
  if (statistics !== undefined) attributes.raw(IFLA_STATS64, encodeStatistics(statistics));
  if (kindName(link.kind) !== undefined || hairpin !== undefined) {
    attributes.nested(IFLA_LINKINFO, (info) => {
      encodeLinkKind(info, link.kind);
      if (hairpin !== undefined) encodePort(info, hairpin);
    });
  }
  return attributes.finish();
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * RTM_NEWLINK or RTM_DELLINK. The kernel always sends counters; eight bigints a link are made only for who wants them.
 * Messages of family AF_BRIDGE describe a port, not a link: see isLinkMessage.
 * @throws TwillError `corrupt`.
 */
export function decodeLink(payload: Uint8Array, options: { readonly statistics?: boolean } = {}): Link {
  const { index, flags } = decodeHeader(payload);
  const link: Writable<Link> = {
    index,
    name: "",
    kind: { type: "physical" },
    mtu: 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
  };
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    switch (attributes.type) {
      case IFLA_IFNAME:
        link.name = attributes.string();
        break;
      case IFLA_ADDRESS:
        // Tunnels carry 4 or 16 bytes here, InfiniBand 20.
        if (attributes.length === 6) link.mac = macFromBytes(attributes.bytes());
        break;
      case IFLA_MTU:
        link.mtu = attributes.u32();
        break;
      case IFLA_LINK:
        link.lower = attributes.u32();
        break;
      case IFLA_LINK_NETNSID:
        link.linkNetns = attributes.i32();
        break;
      case IFLA_MASTER:
        link.master = attributes.u32();
        break;
      case IFLA_IFALIAS:
        link.alias = attributes.string();
        break;
      case IFLA_STATS64:
        if (options.statistics === true) link.statistics = decodeStatistics(attributes.bytes());
        break;
      case IFLA_LINKINFO:
        decodeInfo(attributes.nested(), link);
        break;
    }
  }
  return link;
}

function decodeInfo(info: AttributeReader, link: Writable<Link>): void {
  let name: string | undefined;
  let data: AttributeReader | undefined;
  let portKind: string | undefined;
  let port: AttributeReader | undefined;
  while (info.next()) {
    if (info.type === IFLA_INFO_KIND) name = info.string();
    else if (info.type === IFLA_INFO_DATA) data = info.nested();
    else if (info.type === IFLA_INFO_SLAVE_KIND) portKind = info.string();
    else if (info.type === IFLA_INFO_SLAVE_DATA) port = info.nested();
  }
  if (name !== undefined) link.kind = decodeLinkKind(name, data);
  if (portKind !== "bridge") return;
  while (port?.next() === true) if (port.type === IFLA_BRPORT_MODE) link.hairpin = port.u8() !== 0;
}

function decodeHeader(payload: Uint8Array): { family: number; index: number; flags: number } {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  reader.skip(3);
  const index = reader.i32();
  const flags = reader.u32();
  reader.skip(4);
  return { family, index, flags };
}

/** Whether an RTM_NEWLINK or RTM_DELLINK notification is about the link itself, not about its place in a bridge. */
export const isLinkMessage = (payload: Uint8Array): boolean => payload[0] !== AF_BRIDGE;

/** struct rtnl_link_stats64: the first eight counters are rx/tx packets, bytes, errors, dropped. */
function decodeStatistics(bytes: Uint8Array): LinkStatistics {
  const reader = new ByteReader(bytes);
  return {
    rxPackets: reader.u64(),
    txPackets: reader.u64(),
    rxBytes: reader.u64(),
    txBytes: reader.u64(),
    rxErrors: reader.u64(),
    txErrors: reader.u64(),
    rxDropped: reader.u64(),
    txDropped: reader.u64(),
  };
}

function encodeStatistics(statistics: LinkStatistics): Uint8Array {
  return new ByteWriter(64)
    .u64(statistics.rxPackets)
    .u64(statistics.txPackets)
    .u64(statistics.rxBytes)
    .u64(statistics.txBytes)
    .u64(statistics.rxErrors)
    .u64(statistics.txErrors)
    .u64(statistics.rxDropped)
    .u64(statistics.txDropped)
    .bytes();
}

import { type Address, addressFromBytes, bytesOf, type Family, familyOf } from "../../base/address.ts";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { type Mac, macBytes, macFromBytes } from "../../base/mac.ts";
import type { FdbEntry, Neighbour, NeighbourState } from "../../objects/neighbour.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { addressOf, familyFromNumber, familyNumber } from "./family.ts";
import { AF_BRIDGE, AF_UNSPEC } from "./message-types.ts";

/**
 * Neighbours (AF_INET, AF_INET6) and forwarding entries (AF_BRIDGE) share messages: struct ndmsg (12 bytes) and NDA_*,
 * include/uapi/linux/neighbour.h.
 */
const HEADER = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NDA_MASTER = 9;

const NTF_SELF = 0x2;
const NTF_MASTER = 0x4;
const NTF_PROXY = 0x8;

/**
 * NUD_*. An entry may carry several (a VXLAN entry made by iproute2: noarp and permanent); the first of this order counts.
 */
const states: readonly (readonly [NeighbourState, number])[] = [
  ["permanent", 0x80],
  ["noarp", 0x40],
  ["reachable", 0x02],
  ["stale", 0x04],
  ["delay", 0x08],
  ["probe", 0x10],
  ["failed", 0x20],
  ["incomplete", 0x01],
  ["none", 0x00],
];
const stateNumbers = new Map(states);
const stateFromNumber = (number: number): NeighbourState =>
  states.find(([, bit]) => (number & bit) !== 0)?.[0] ?? "none";

interface Header {
  readonly family: number;
  readonly device: number;
  readonly state: NeighbourState;
  readonly flags: number;
}

const header = ({ family, device, state, flags }: Header): AttributeWriter =>
  new AttributeWriter(
    new ByteWriter(64)
      .u8(family)
      .zero(3)
      .u32(device)
      .u16(stateNumbers.get(state) ?? 0)
      .u8(flags)
      .u8(0),
  );

function decodeHeader(payload: Uint8Array): Header {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  reader.skip(3);
  const device = reader.u32();
  const state = stateFromNumber(reader.u16());
  const flags = reader.u8();
  reader.skip(1);
  return { family, device, state, flags };
}

/** Whether the message is about a forwarding entry: decodeFdbEntry, not decodeNeighbour. */
export const isFdbMessage = (payload: Uint8Array): boolean => payload[0] === AF_BRIDGE;

/** RTM_GETNEIGH with NLM_F_DUMP. Proxy entries are kept apart and listed only when asked for. */
export function encodeNeighbourQuery(filter: {
  readonly device?: number;
  readonly family?: Family;
  readonly proxy?: boolean;
}): Uint8Array {
  const family = filter.family === undefined ? AF_UNSPEC : familyNumber(filter.family);
  const attributes = header({ family, device: 0, state: "none", flags: filter.proxy === true ? NTF_PROXY : 0 });
  if (filter.device !== undefined) attributes.u32(NDA_IFINDEX, filter.device);
  return attributes.finish();
}

/** RTM_NEWNEIGH and RTM_DELNEIGH. */
export function encodeNeighbour(value: Neighbour): Uint8Array {
  const attributes = header({
    family: familyNumber(familyOf(value.address)),
    device: value.device,
    state: value.state,
    flags: value.proxy === true ? NTF_PROXY : 0,
  });
  attributes.raw(NDA_DST, bytesOf(value.address));
  if (value.mac !== undefined) attributes.raw(NDA_LLADDR, macBytes(value.mac));
  return attributes.finish();
}

/** @throws TwillError `corrupt`, also for a family that is neither IPv4 nor IPv6. */
export function decodeNeighbour(payload: Uint8Array): Neighbour {
  const { family: familyNumber, device, state, flags } = decodeHeader(payload);
  const family = familyFromNumber(familyNumber);
  let address: Address | undefined;
  let mac: Mac | undefined;
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    if (attributes.type === NDA_DST) address = addressOf(family, attributes.bytes());
    else if (attributes.type === NDA_LLADDR && attributes.length === 6) mac = macFromBytes(attributes.bytes());
  }
  if (address === undefined) throw new TwillError("corrupt", "a neighbour message without an address");
  return {
    device,
    address,
    ...(mac === undefined ? {} : { mac }),
    state,
    ...((flags & NTF_PROXY) === 0 ? {} : { proxy: true }),
  };
}

/** RTM_GETNEIGH with NLM_F_DUMP. */
export function encodeFdbQuery(filter: { readonly device?: number }): Uint8Array {
  return header({ family: AF_BRIDGE, device: filter.device ?? 0, state: "none", flags: 0 }).finish();
}

/** RTM_NEWNEIGH and RTM_DELNEIGH. */
export function encodeFdbEntry(entry: FdbEntry): Uint8Array {
  const attributes = header({
    family: AF_BRIDGE,
    device: entry.device,
    state: entry.state,
    flags: entry.self ? NTF_SELF : NTF_MASTER,
  });
  attributes.raw(NDA_LLADDR, macBytes(entry.mac));
  if (entry.remote !== undefined) attributes.raw(NDA_DST, bytesOf(entry.remote));
  if (entry.master !== undefined) attributes.u32(NDA_MASTER, entry.master);
  return attributes.finish();
}

/** @throws TwillError `corrupt`. */
export function decodeFdbEntry(payload: Uint8Array): FdbEntry {
  const { family, device, state, flags } = decodeHeader(payload);
  if (family !== AF_BRIDGE) throw new TwillError("corrupt", `family ${family} where a forwarding entry was expected`);
  let mac: Mac | undefined;
  let remote: Address | undefined;
  let master: number | undefined;
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    if (attributes.type === NDA_LLADDR) mac = macFromBytes(attributes.bytes());
    else if (attributes.type === NDA_DST) remote = addressFromBytes(attributes.bytes());
    else if (attributes.type === NDA_MASTER) master = attributes.u32();
  }
  if (mac === undefined) throw new TwillError("corrupt", "a forwarding entry without an Ethernet address");
  return {
    device,
    mac,
    ...(remote === undefined ? {} : { remote }),
    state,
    self: (flags & NTF_SELF) !== 0,
    ...(master === undefined ? {} : { master }),
  };
}

import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { type NftFamily, nftFamilies } from "../../objects/nft.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import type { NetlinkRequest } from "../netlink/message.ts";

/**
 * struct nfgenmsg (linux/netfilter/nfnetlink.h), before the attributes of every nfnetlink message: family (u8), version
 * (u8, 0), resource id (u16, network order; in nf_tables' answers the low half of the generation they were read in, in nflog the group).
 */
export const NF_HEADER_LENGTH = 4;

/** nfnetlink's message type: subsystem in the high byte. */
export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFNL_SUBSYS_ULOG = 4;
export const NFNL_SUBSYS_NFTABLES = 10;

/** NFPROTO_*, linux/netfilter.h. */
const protocols: Readonly<Record<NftFamily, number>> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };

export const protocolOf = (family: NftFamily): number => protocols[family];
/** @throws TwillError `corrupt` for a number that nf_tables has no family for. */
export function familyOfProtocol(protocol: number): NftFamily {
  const family = nftFamilies.find((name) => protocols[name] === protocol);
  if (family === undefined) throw new TwillError("corrupt", `${protocol} is not an nf_tables family`);
  return family;
}

export interface NfHeader {
  readonly protocol: number;
  readonly resource: number;
}

/** @throws TwillError `corrupt` for a payload of fewer than four bytes. */
export function readHeader(payload: Uint8Array): NfHeader {
  const reader = new ByteReader(payload);
  const protocol = reader.u8();
  reader.skip(1);
  return { protocol, resource: reader.u16be() };
}

/** The attributes behind the header. */
export const attributesOf = (payload: Uint8Array): AttributeReader => new AttributeReader(payload, NF_HEADER_LENGTH);

/** A request of an nfnetlink subsystem. `flags` without NLM_F_REQUEST, which the socket adds. */
export function nfRequest(
  subsystem: number,
  message: number,
  protocol: number,
  flags: number,
  write: (attributes: AttributeWriter) => void = () => {},
  resource = 0,
): NetlinkRequest {
  const bytes = new ByteWriter(128).u8(protocol).u8(0).u16be(resource);
  const attributes = new AttributeWriter(bytes);
  write(attributes);
  return { type: subsystem * 256 + message, flags, payload: attributes.finish() };
}

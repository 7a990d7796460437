import { type Address, bytesOf, type Family, familyOf } from "../../base/address.ts";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { DeviceAddress } from "../../objects/route.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { addressOf, familyFromNumber, familyNumber } from "./family.ts";
import { AF_UNSPEC } from "./message-types.ts";
import { scopeFromNumber, scopeNumber } from "./scope.ts";

/** Addresses of devices: struct ifaddrmsg (8 bytes) and IFA_*, include/uapi/linux/if_addr.h. */
const HEADER = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
/** The header has room for eight flags only. */
const IFA_FLAGS = 8;

const IFA_F_NODAD = 0x2;
const IFA_F_DADFAILED = 0x8;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

/** RTM_GETADDR with NLM_F_DUMP. */
export function encodeAddressQuery(filter: { readonly device?: number; readonly family?: Family }): Uint8Array {
  const family = filter.family === undefined ? AF_UNSPEC : familyNumber(filter.family);
  return new ByteWriter(HEADER)
    .u8(family)
    .zero(3)
    .u32(filter.device ?? 0)
    .bytes();
}

/** RTM_NEWADDR and RTM_DELADDR. */
export function encodeAddress(value: DeviceAddress): Uint8Array {
  const flags =
    (value.noDad === true ? IFA_F_NODAD : 0) |
    (value.dadFailed === true ? IFA_F_DADFAILED : 0) |
    (value.tentative === true ? IFA_F_TENTATIVE : 0) |
    (value.permanent === true ? IFA_F_PERMANENT : 0) |
    (value.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
  const attributes = new AttributeWriter(
    new ByteWriter(64)
      .u8(familyNumber(familyOf(value.address)))
      .u8(value.length)
      .u8(flags & 0xff)
      .u8(scopeNumber(value.scope))
      .u32(value.device),
  );
  // With a peer, IFA_ADDRESS is the far end; without one the two are equal.
  attributes.raw(IFA_LOCAL, bytesOf(value.address)).raw(IFA_ADDRESS, bytesOf(value.peer ?? value.address));
  if (value.broadcast !== undefined) attributes.raw(IFA_BROADCAST, bytesOf(value.broadcast));
  if (value.label !== undefined) attributes.string(IFA_LABEL, value.label);
  if (flags !== 0) attributes.u32(IFA_FLAGS, flags);
  return attributes.finish();
}

/** @throws TwillError `corrupt`, also for a family that is neither IPv4 nor IPv6. */
export function decodeAddress(payload: Uint8Array): DeviceAddress {
  const reader = new ByteReader(payload);
  const family = familyFromNumber(reader.u8());
  const length = reader.u8();
  let flags = reader.u8();
  const scope = scopeFromNumber(reader.u8());
  const device = reader.u32();
  let local: Address | undefined;
  let address: Address | undefined;
  let broadcast: Address | undefined;
  let label: string | undefined;
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    if (attributes.type === IFA_LOCAL) local = addressOf(family, attributes.bytes());
    else if (attributes.type === IFA_ADDRESS) address = addressOf(family, attributes.bytes());
    else if (attributes.type === IFA_BROADCAST) broadcast = addressOf(family, attributes.bytes());
    else if (attributes.type === IFA_LABEL) label = attributes.string();
    else if (attributes.type === IFA_FLAGS) flags = attributes.u32();
  }
  const own = local ?? address;
  if (own === undefined || length > (family === 4 ? 32 : 128)) {
    throw new TwillError("corrupt", `an address message without a usable address (length ${length})`);
  }
  return {
    device,
    address: own,
    length,
    scope,
    ...(label === undefined ? {} : { label }),
    ...(address === undefined || address === own ? {} : { peer: address }),
    ...(broadcast === undefined ? {} : { broadcast }),
    ...((flags & IFA_F_NODAD) === 0 ? {} : { noDad: true }),
    ...((flags & IFA_F_NOPREFIXROUTE) === 0 ? {} : { noPrefixRoute: true }),
    ...((flags & IFA_F_TENTATIVE) === 0 ? {} : { tentative: true }),
    ...((flags & IFA_F_DADFAILED) === 0 ? {} : { dadFailed: true }),
    ...((flags & IFA_F_PERMANENT) === 0 ? {} : { permanent: true }),
  };
}

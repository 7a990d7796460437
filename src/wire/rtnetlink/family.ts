import { type Address, addressFromBytes, type Family } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { AF_INET, AF_INET6 } from "./message-types.ts";

export const familyNumber = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

/** @throws TwillError `corrupt` for anything but IPv4 and IPv6: callers filter other families (MPLS, bridge) out before. */
export function familyFromNumber(number: number): Family {
  if (number === AF_INET) return 4;
  if (number === AF_INET6) return 6;
  throw new TwillError("corrupt", `address family ${number} where IPv4 or IPv6 was expected`);
}

/**
 * The address in an attribute. @throws TwillError `corrupt` when its length is not the family's.
 */
export function addressOf(family: Family, bytes: Uint8Array): Address {
  if (bytes.length !== (family === 4 ? 4 : 16)) {
    throw new TwillError("corrupt", `an IPv${family} address cannot have ${bytes.length} bytes`);
  }
  return addressFromBytes(bytes);
}

import { type Address, addressFromBytes, bytesOf, familyOf } from "../base/address.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { AF_INET, AF_INET6 } from "./socket.ts";

/** struct sockaddr_in (16 bytes) and sockaddr_in6 (28 bytes), include/uapi/linux/in.h and in6.h. Family in host order, port in network order. */
export function encodeSockaddr(address: Address, port: number): Uint8Array {
  const writer = new ByteWriter(28);
  if (familyOf(address) === 4) return writer.u16(AF_INET).u16be(port).raw(bytesOf(address)).zero(8).bytes();
  // sin6_flowinfo, the address, sin6_scope_id.
  return writer.u16(AF_INET6).u16be(port).zero(4).raw(bytesOf(address)).zero(4).bytes();
}

/** @throws TwillError `corrupt` for another family or too few bytes. */
export function decodeSockaddr(bytes: Uint8Array): { readonly address: Address; readonly port: number } {
  const reader = new ByteReader(bytes);
  const isIpv6 = reader.u16() === AF_INET6;
  const port = reader.u16be();
  if (isIpv6) reader.skip(4);
  return { address: addressFromBytes(reader.take(isIpv6 ? 16 : 4)), port };
}

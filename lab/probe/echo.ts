import type { Family } from "../../src/base/address.ts";
import { ByteReader, ByteWriter } from "../../src/base/bytes.ts";

/** ICMP echo messages (RFC 792, RFC 4443 section 4.1). */
const requestType: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
const replyType: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };

export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
}

/** The checksum of ICMPv6 covers addresses that only the kernel knows yet, so there the kernel fills it in (RFC 3542 section 3.1). */
export function encodeEchoRequest(family: Family, echo: Echo): Uint8Array {
  const payload = new TextEncoder().encode("twill lab probe.");
  const write = (checksum: number) =>
    new ByteWriter(32)
      .u8(requestType[family])
      .u8(0)
      .u16be(checksum)
      .u16be(echo.identifier)
      .u16be(echo.sequence)
      .raw(payload)
      .bytes();
  return family === 6 ? write(0) : write(internetChecksum(write(0)));
}

/** A raw IPv4 socket delivers the IP header too, a raw IPv6 socket does not. undefined: not an echo reply. */
export function decodeEchoReply(family: Family, packet: Uint8Array): Echo | undefined {
  if (packet.length < 8) return undefined;
  const headerLength = family === 4 ? ((packet[0] ?? 0) & 0x0f) * 4 : 0;
  if (packet.length < headerLength + 8) return undefined;
  const reader = new ByteReader(packet.subarray(headerLength));
  const type = reader.u8();
  reader.skip(3);
  const echo = { identifier: reader.u16be(), sequence: reader.u16be() };
  return type === replyType[family] ? echo : undefined;
}

/** RFC 1071. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

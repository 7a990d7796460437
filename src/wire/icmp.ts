import { type Address, addressFromBytes, type Family } from "../base/address.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";

/** What came in answer to an echo request, or instead of one. */
export type EchoOutcome =
  | { readonly type: "reply"; readonly identifier: number }
  /** Who routes towards the target says that nobody answers for its address. */
  | { readonly type: "unreachable"; readonly identifier: number; readonly target: Address };

/** RFC 792, RFC 4443 sections 3.1, 4.1, 4.2. */
const types = { 4: { request: 8, reply: 0, unreachable: 3 }, 6: { request: 128, reply: 129, unreachable: 1 } } as const;
/** "Host unreachable", "address unreachable". Prohibited is another code: a firewall that says so is there. */
const nobodyThere = { 4: 1, 6: 3 } as const;
const protocols = { 4: 1, 6: 58 } as const;
/** Bytes, without options. */
const headers = { 4: 20 } as const;

/** With its checksum for IPv4; for IPv6 the kernel writes it (RFC 3542 section 3.1). */
export function encodeEchoRequest(family: Family, identifier: number, sequence: number): Uint8Array {
  const write = (checksum: number) =>
    new ByteWriter(8).u8(types[family].request).u8(0).u16be(checksum).u16be(identifier).u16be(sequence).bytes();
  return write(family === 6 ? 0 : checksumOf(write(0)));
}

/** RFC 1071, of an even number of bytes. */
function checksumOf(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes);
  let sum = 0;
  while (reader.remaining > 1) sum += reader.u16be();
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/**
 * A packet as a raw ICMP socket gives it: with its IP header for IPv4, without for IPv6. Anything that is no answer to an
 * echo request, or damaged, is undefined: such a socket sees all of the machine's ICMP.
 */
export function decodeEchoOutcome(family: Family, packet: Uint8Array): EchoOutcome | undefined {
  try {
    const reader = new ByteReader(packet);
    if (family === 4) skipIpv4Header(reader);
    const [type, code] = [reader.u8(), reader.u8()];
    reader.skip(2);
    if (type === types[family].reply) return { type: "reply", identifier: reader.u16be() };
    if (type !== types[family].unreachable || code !== nobodyThere[family]) return undefined;
    reader.skip(4);
    return aboutEcho(family, reader);
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

/** The packet that could not be delivered, or its beginning. */
function aboutEcho(family: Family, reader: ByteReader): EchoOutcome | undefined {
  const target = family === 4 ? skipIpv4Header(reader) : skipIpv6Header(reader);
  if (target === undefined || reader.u8() !== types[family].request) return undefined;
  reader.skip(3);
  return { type: "unreachable", identifier: reader.u16be(), target };
}

/** @returns the destination, of an ICMP packet. RFC 791 section 3.1. */
function skipIpv4Header(reader: ByteReader): Address | undefined {
  const words = reader.u8() & 0x0f;
  if (words * 4 < headers[4]) throw new TwillError("corrupt", "an IPv4 header that is too short");
  reader.skip(8);
  const protocol = reader.u8();
  reader.skip(6);
  const destination = addressFromBytes(reader.take(4));
  reader.skip(words * 4 - headers[4]);
  return protocol === protocols[4] ? destination : undefined;
}

/** RFC 8200 section 3. Our own requests have no extension headers. */
function skipIpv6Header(reader: ByteReader): Address | undefined {
  reader.skip(6);
  const next = reader.u8();
  reader.skip(17);
  const destination = addressFromBytes(reader.take(16));
  return next === protocols[6] ? destination : undefined;
}

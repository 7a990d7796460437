import { type Address, bytesOf, familyOf } from "../../../src/base/address.ts";
import { ByteWriter } from "../../../src/base/bytes.ts";

/** A first packet of a connection, as a program would send it. */
export interface RawPacket {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP" | "GRE";
  /** Of the sender; the identifier of an echo request. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** 32 bits by which whoever sees the packet knows it: its last four bytes. */
  readonly token: number;
}

export const ipProtocols = { ICMP: 1, TCP: 6, UDP: 17, GRE: 47, ICMPv6: 58, SCTP: 132 } as const;

export const ipProtocolOf = ({ protocol, source }: Pick<RawPacket, "protocol" | "source">): number =>
  protocol === "ICMP" && familyOf(source) === 6 ? ipProtocols.ICMPv6 : ipProtocols[protocol];

/** With IP header and right checksums: connection tracking drops what is corrupt. */
export function rawPacket(packet: RawPacket): Uint8Array {
  const transport = transportOf(packet);
  const protocol = ipProtocolOf(packet);
  const at = checksumAt(packet);
  if (packet.protocol === "SCTP") new DataView(transport.buffer).setUint32(8, crc32c(transport), true);
  else if (at !== undefined) {
    const pseudo = protocol === ipProtocols.ICMP ? new Uint8Array() : pseudoHeader(packet, transport.length, protocol);
    new DataView(transport.buffer).setUint16(at, internetChecksum(pseudo, transport) || 0xffff);
  }
  return new ByteWriter(128)
    .raw(ipHeader(packet, transport.length, protocol))
    .raw(transport)
    .bytes()
    .slice();
}

function transportOf({ protocol, sourcePort, destinationPort, token, source }: RawPacket): Uint8Array {
  const writer = new ByteWriter(64);
  const ports = () => writer.u16be(sourcePort).u16be(destinationPort);
  switch (protocol) {
    case "TCP": // SYN with four bytes of data (RFC 9293; RFC 7413 made that common).
      ports().u32be(token).u32be(0).u8(0x50).u8(0x02).u16be(0xffff).u16be(0).u16be(0);
      break;
    case "UDP":
      ports().u16be(12).u16be(0);
      break;
    case "ICMP":
      writer
        .u8(familyOf(source) === 4 ? 8 : 128)
        .u8(0)
        .u16be(0)
        .u16be(sourcePort)
        .u16be(1);
      break;
    case "GRE": // RFC 2784, carrying a type that nobody knows.
      writer.u16be(0).u16be(0x88b5);
      break;
    case "SCTP": // INIT (RFC 9260 section 3.3.2); its last field is the initial TSN.
      ports().u32be(0).u32be(0).u8(1).u8(0).u16be(20).u32be(1).u32be(65_536).u16be(1).u16be(1);
      break;
  }
  return writer.u32be(token).bytes().slice();
}

const checksumAt = ({ protocol }: RawPacket): number | undefined =>
  ({ TCP: 16, UDP: 6, ICMP: 2, GRE: undefined, SCTP: 8 })[protocol];

function ipHeader({ source, destination }: RawPacket, length: number, protocol: number): Uint8Array {
  const writer = new ByteWriter(40);
  if (familyOf(source) === 4) {
    // The kernel fills in identification and checksum (raw(7)).
    writer
      .u8(0x45)
      .u8(0)
      .u16be(20 + length)
      .u16be(0)
      .u16be(0x4000)
      .u8(64)
      .u8(protocol)
      .u16be(0);
  } else writer.u32be(0x6000_0000).u16be(length).u8(protocol).u8(64);
  return writer.raw(bytesOf(source)).raw(bytesOf(destination)).bytes().slice();
}

const pseudoHeader = ({ source, destination }: RawPacket, length: number, protocol: number): Uint8Array =>
  new ByteWriter(40).raw(bytesOf(source)).raw(bytesOf(destination)).u32be(length).u32be(protocol).bytes().slice();

/** RFC 1071. */
function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (const [index, byte] of part.entries()) sum += index % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 9260 appendix A. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

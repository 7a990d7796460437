import { type Address, bytesOf, familyOf } from "../base/address.ts";
import { ByteWriter } from "../base/bytes.ts";
import { etherTypes, protocols } from "../wire/packet.ts";

/** A packet whose way is asked for. */
export interface ProbePacket {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: "icmp" | "tcp" | "udp";
  /** TCP and UDP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Of the IP packet, bytes. */
  readonly size: number;
  /** It answers another packet: connection tracking knows it. */
  readonly reply?: boolean;
}

/** A packet as rules see it, of any protocol: those that no probe is made of by their number. */
export interface FilteredPacket extends Omit<ProbePacket, "protocol"> {
  readonly protocol: ProbePacket["protocol"] | number;
}

const sctp = 132;

export const protocolNumber = ({ protocol, source }: Pick<FilteredPacket, "protocol" | "source">): number =>
  typeof protocol === "number"
    ? protocol
    : protocol === "icmp"
      ? familyOf(source) === 4
        ? protocols.icmp
        : protocols.icmpv6
      : protocols[protocol];

export const etherTypeOf = ({ source }: Pick<ProbePacket, "source">): number =>
  familyOf(source) === 4 ? etherTypes.ipv4 : etherTypes.ipv6;

/** The IP header as nf_tables rules read it. Checksums are 0: no rule compares them. */
export function networkHeader(packet: FilteredPacket): Uint8Array {
  const writer = new ByteWriter(40);
  const addresses = () => writer.raw(bytesOf(packet.source)).raw(bytesOf(packet.destination)).bytes();
  if (familyOf(packet.source) === 4) {
    writer.u8(0x45).u8(0).u16be(packet.size).u16be(0).u16be(0x4000).u8(64).u8(protocolNumber(packet)).u16be(0);
    return addresses();
  }
  writer
    .u32be(0x6000_0000)
    .u16be(Math.max(0, packet.size - 40))
    .u8(protocolNumber(packet))
    .u8(64);
  return addresses();
}

export function transportHeader(packet: FilteredPacket): Uint8Array {
  const writer = new ByteWriter(20);
  if (typeof packet.protocol === "number" && packet.protocol !== sctp) return new Uint8Array(8);
  if (packet.protocol === "icmp") {
    const [request, answer] = familyOf(packet.source) === 4 ? [8, 0] : [128, 129];
    return writer
      .u8(packet.reply === true ? answer : request)
      .zero(7)
      .bytes();
  }
  writer.u16be(packet.sourcePort ?? 40_000).u16be(packet.destinationPort ?? 0);
  if (packet.protocol === "udp")
    return writer
      .u16be(Math.max(8, packet.size - 28))
      .u16be(0)
      .bytes();
  // Common header and an INIT chunk (RFC 9260).
  if (packet.protocol === sctp) return writer.zero(8).u8(1).zero(3).bytes();
  // SYN; SYN and ACK in the answer.
  return writer
    .zero(8)
    .u8(0x50)
    .u8(packet.reply === true ? 0x12 : 0x02)
    .zero(6)
    .bytes();
}

/** The same connection the other way. */
export const reversed = (packet: ProbePacket): ProbePacket => ({
  ...packet,
  source: packet.destination,
  destination: packet.source,
  ...(packet.destinationPort === undefined ? {} : { sourcePort: packet.destinationPort }),
  ...(packet.sourcePort === undefined ? {} : { destinationPort: packet.sourcePort }),
  reply: packet.reply !== true,
});

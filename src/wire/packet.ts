import { type Address, addressFromBytes } from "../base/address.ts";
import { ByteReader } from "../base/bytes.ts";
import { isCode } from "../base/errors.ts";
import { type Mac, macFromBytes } from "../base/mac.ts";

/**
 * What is in an Ethernet frame, as far as it can be read: a capture cuts packets, and whatever does not parse is left out.
 * IEEE 802.3, RFC 791, 8200, 9293, 768, 3828 (UDP-Lite), 9260 (SCTP), 792, 4443, 7348 (VXLAN), 826 (ARP).
 */
export interface Frame {
  readonly destination: Mac;
  readonly source: Mac;
  readonly etherType: number;
  readonly packet?: IpPacket;
  readonly arp?: { readonly operation: number; readonly sender: Address; readonly target: Address };
}

export interface IpPacket {
  readonly source: Address;
  readonly destination: Address;
  /** IP protocol number, behind IPv6 extension headers. */
  readonly protocol: number;
  /** As the header says, bytes; the capture may hold less. */
  readonly length: number;
  /** TTL or hop limit. */
  readonly hops: number;
  /** A fragment but the first has no ports. */
  readonly fragment?: true;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** TCP flags byte. */
  readonly flags?: number;
  readonly icmp?: { readonly type: number; readonly code: number; readonly id: number; readonly mtu: number };
  readonly vxlan?: { readonly vni: number; readonly frame: Frame };
}

export const etherTypes = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806 } as const;
export const protocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, udplite: 136 } as const;
const portProtocols: readonly number[] = [protocols.tcp, protocols.udp, protocols.sctp, protocols.udplite];

/** IPv6 headers between the fixed one and the payload: hop-by-hop, routing, destination options. */
const extensions: ReadonlySet<number> = new Set([0, 43, 60]);
const fragmentHeader = 44;

/** @param vxlanPort UDP port whose datagrams are read as VXLAN; undefined: none is. Nothing is thrown, whatever the bytes are. */
export function readFrame(bytes: Uint8Array, vxlanPort?: number): Frame | undefined {
  try {
    const reader = new ByteReader(bytes);
    const destination = macFromBytes(reader.take(6).slice());
    const source = macFromBytes(reader.take(6).slice());
    const etherType = reader.u16be();
    const head = { destination, source, etherType };
    if (etherType === etherTypes.arp) return { ...head, ...attempt(() => ({ arp: readArp(reader) })) };
    if (etherType !== etherTypes.ipv4 && etherType !== etherTypes.ipv6) return head;
    return { ...head, ...attempt(() => ({ packet: readIp(reader, vxlanPort) })) };
  } catch (error) {
    if (isCode(error, "corrupt")) return undefined;
    throw error;
  }
}

/** The same for what begins with the IP header. */
export const readPacket = (bytes: Uint8Array): IpPacket | undefined =>
  attempt(() => readIp(new ByteReader(bytes), undefined));

/** What was cut off is missing; what came before it stays. */
function attempt<T extends object>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isCode(error, "corrupt")) return undefined;
    throw error;
  }
}

function readArp(reader: ByteReader): NonNullable<Frame["arp"]> {
  reader.skip(6);
  const operation = reader.u16be();
  reader.skip(6);
  const sender = addressFromBytes(reader.take(4));
  reader.skip(6);
  return { operation, sender, target: addressFromBytes(reader.take(4)) };
}

function readIp(reader: ByteReader, vxlanPort: number | undefined): IpPacket {
  const first = reader.u8();
  const head = first >> 4 === 4 ? readIpv4(reader, first) : readIpv6(reader);
  if (head.fragment === true) return head;
  return { ...head, ...attempt(() => readTransport(reader, head.protocol, vxlanPort)) };
}

function readIpv4(reader: ByteReader, first: number): IpPacket {
  reader.skip(1);
  const length = reader.u16be();
  reader.skip(2);
  const offset = reader.u16be() & 0x1fff;
  const hops = reader.u8();
  const protocol = reader.u8();
  reader.skip(2);
  const source = addressFromBytes(reader.take(4));
  const destination = addressFromBytes(reader.take(4));
  reader.skip(Math.max(0, (first & 15) * 4 - 20));
  return { source, destination, protocol, length, hops, ...(offset > 0 ? { fragment: true } : {}) };
}

function readIpv6(reader: ByteReader): IpPacket {
  reader.skip(3);
  const length = reader.u16be() + 40;
  let protocol = reader.u8();
  const hops = reader.u8();
  const source = addressFromBytes(reader.take(16));
  const destination = addressFromBytes(reader.take(16));
  let later = false;
  while (extensions.has(protocol) || protocol === fragmentHeader) {
    const next = reader.u8();
    const size = reader.u8();
    if (protocol === fragmentHeader) {
      later = reader.u16be() >> 3 > 0;
      reader.skip(4);
    } else reader.skip(6 + size * 8);
    protocol = next;
  }
  return { source, destination, protocol, length, hops, ...(later ? { fragment: true } : {}) };
}

function readTransport(reader: ByteReader, protocol: number, vxlanPort: number | undefined): Partial<IpPacket> {
  if (protocol === protocols.icmp || protocol === protocols.icmpv6) {
    const [type, code] = [reader.u8(), reader.u8()];
    reader.skip(2);
    const id = reader.u16be();
    return { icmp: { type, code, id, mtu: reader.u16be() } };
  }
  if (!portProtocols.includes(protocol)) return {};
  const ports = { sourcePort: reader.u16be(), destinationPort: reader.u16be() };
  if (protocol === protocols.tcp) {
    return { ...ports, ...attempt(() => ({ flags: reader.take(10)[9] ?? 0 })) };
  }
  if (protocol !== protocols.udp || ports.destinationPort !== vxlanPort) return ports;
  return { ...ports, ...attempt(() => readVxlan(reader)) };
}

/** Without `vxlanPort` inside: a tunnel in a tunnel is not looked for. */
function readVxlan(reader: ByteReader): Partial<IpPacket> {
  reader.skip(8);
  const vni = reader.u32be() >>> 8;
  const frame = readFrame(reader.take(reader.remaining));
  return frame === undefined ? {} : { vxlan: { vni, frame } };
}

/** "10.1.0.2.34567 > 10.1.1.2.80 TCP S", in the words of tcpdump; a tunnel first, then what is in it. */
export function describeFrame(frame: Frame): string {
  const { arp, packet } = frame;
  if (arp !== undefined)
    return arp.operation === 1 ? `ARP who-has ${arp.target} tell ${arp.sender}` : `ARP ${arp.sender} is-at`;
  if (packet === undefined) return `ethertype 0x${frame.etherType.toString(16).padStart(4, "0")}`;
  if (packet.vxlan !== undefined) {
    return `${packet.source} > ${packet.destination} VXLAN ${packet.vxlan.vni}: ${describeFrame(packet.vxlan.frame)}`;
  }
  const end = (address: Address, port: number | undefined) => (port === undefined ? address : `${address}.${port}`);
  const ends = `${end(packet.source, packet.sourcePort)} > ${end(packet.destination, packet.destinationPort)}`;
  return `${ends} ${describeTransport(packet)}, ${packet.length} bytes`;
}

function describeTransport({ protocol, flags, icmp, fragment }: IpPacket): string {
  if (fragment === true) return `protocol ${protocol} fragment`;
  if (protocol === protocols.udp) return "UDP";
  if (protocol === protocols.tcp) return `TCP${flags === undefined ? "" : ` ${flagLetters(flags)}`}`;
  if (icmp !== undefined) return describeIcmp(protocol, icmp);
  return `protocol ${protocol}`;
}

const flagLetters = (flags: number): string =>
  [..."FSRP.U"].filter((_, bit) => (flags & (1 << bit)) !== 0).join("") || "none";

function describeIcmp(protocol: number, { type, code, mtu }: NonNullable<IpPacket["icmp"]>): string {
  const name = protocol === protocols.icmp ? "ICMP" : "ICMPv6";
  const echo =
    protocol === protocols.icmp ? { 8: "echo request", 0: "echo reply" } : { 128: "echo request", 129: "echo reply" };
  const known = (echo as Readonly<Record<number, string>>)[type];
  if (known !== undefined) return `${name} ${known}`;
  if (protocol === protocols.icmp && type === 3)
    return code === 4 ? `ICMP needs fragments, MTU ${mtu}` : `ICMP unreachable, code ${code}`;
  if (protocol === protocols.icmpv6 && type === 1) return `ICMPv6 unreachable, code ${code}`;
  if (protocol === protocols.icmpv6 && type === 2) return "ICMPv6 packet too big";
  if (type === (protocol === protocols.icmp ? 11 : 3)) return `${name} time exceeded`;
  return `${name} type ${type}`;
}

import { etherTypes } from "../wire/packet.ts";

/** Ethernet, IPv4 without options or IPv6, UDP, VXLAN. */
const encapsulation = { 4: 50, 6: 70 } as const;

/**
 * Something that stays the same of a packet from device to device: the IP packet without what routers and offloads change
 * (TTL, checksums), cut behind the transport header. What is not IP is told apart by all its bytes.
 */
export function packetKey(frame: Uint8Array, ports: readonly number[]): string {
  const inner = innerOf(frame, ports);
  const type = ((inner[12] ?? 0) << 8) | (inner[13] ?? 0);
  if (type === etherTypes.ipv4) return `4 ${stable4(inner.subarray(14)).toHex()}`;
  if (type === etherTypes.ipv6) return `6 ${stable6(inner.subarray(14)).toHex()}`;
  return inner.toHex();
}

function innerOf(frame: Uint8Array, ports: readonly number[]): Uint8Array {
  const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  const family = type === etherTypes.ipv4 && frame[14] === 0x45 ? 4 : type === etherTypes.ipv6 ? 6 : undefined;
  if (family === undefined) return frame;
  const udp = family === 4 ? 34 : 54;
  const protocol = frame[family === 4 ? 23 : 20];
  const port = ((frame[udp + 2] ?? 0) << 8) | (frame[udp + 3] ?? 0);
  return protocol === 17 && ports.includes(port) ? frame.subarray(encapsulation[family]) : frame;
}

function stable4(packet: Uint8Array): Uint8Array {
  const header = ((packet[0] ?? 0) & 15) * 4;
  const copy = packet.slice(0, header + transportBytes);
  copy.set([0], 8);
  copy.set([0, 0], 10);
  clearChecksum(copy, header, packet[9] ?? 0);
  return copy;
}

function stable6(packet: Uint8Array): Uint8Array {
  const copy = packet.slice(0, 40 + transportBytes);
  copy.set([0], 7);
  clearChecksum(copy, 40, packet[6] ?? 0);
  return copy;
}

/** Ports, sequence and acknowledgement numbers, flags. */
const transportBytes = 20;
/** By protocol: where the checksum is. */
const checksumAt: Readonly<Record<number, number>> = { 1: 2, 6: 16, 17: 6, 58: 2 };

function clearChecksum(packet: Uint8Array, transport: number, protocol: number): void {
  const at = checksumAt[protocol];
  if (at !== undefined && packet.length >= transport + at + 2) packet.set([0, 0], transport + at);
}

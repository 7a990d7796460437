import { ByteWriter } from "../base/bytes.ts";

/**
 * A pcapng file (draft-ietf-opsawg-pcapng), little-endian: one section, one interface description each, one enhanced packet
 * block each. Wireshark and tcpdump 4.99 read it, names of interfaces included.
 */
export interface CapturedPacket {
  /** Index of its interface. */
  readonly interface: number;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly outgoing: boolean;
  /** On the wire; `bytes` may be fewer. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

export interface CaptureInterface {
  readonly name: string;
  readonly description: string;
}

const sectionHeader = 0x0a0d0d0a;
const interfaceDescription = 1;
const enhancedPacket = 6;
const byteOrderMagic = 0x1a2b3c4d;
/** LINKTYPE_ETHERNET. */
const ethernet = 1;
const option = {
  end: 0,
  comment: 1,
  applicationName: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  timeResolution: 9,
  packetFlags: 2,
};

export function encodePcapng(
  application: string,
  interfaces: readonly CaptureInterface[],
  packets: readonly CapturedPacket[],
  snapLength: number,
): Uint8Array {
  const writer = new ByteWriter(1 << 16);
  block(writer, sectionHeader, (body) => {
    // Version 1.0; the section's length is not given.
    body.u32(byteOrderMagic).u16(1).u16(0).u64(0xffff_ffff_ffff_ffffn);
    text(body, option.applicationName, application);
    body.u32(option.end);
  });
  for (const { name, description } of interfaces) {
    block(writer, interfaceDescription, (body) => {
      body.u16(ethernet).u16(0).u32(snapLength);
      text(body, option.interfaceName, name);
      text(body, option.interfaceDescription, description);
      // Units of 10^-9 s.
      body.u16(option.timeResolution).u16(1).u8(9).zero(3);
      body.u32(option.end);
    });
  }
  for (const packet of packets) {
    block(writer, enhancedPacket, (body) => {
      body
        .u32(packet.interface)
        .u32(Number(packet.time >> 32n))
        .u32(Number(packet.time & 0xffff_ffffn));
      body.u32(packet.bytes.length).u32(packet.length).raw(packet.bytes).align(4);
      // Bits 0 and 1: 1 inbound, 2 outbound.
      body
        .u16(option.packetFlags)
        .u16(4)
        .u32(packet.outgoing ? 2 : 1);
      body.u32(option.end);
    });
  }
  return writer.bytes();
}

/** The length stands before and behind the body, so that a file can be read from its end. */
function block(writer: ByteWriter, type: number, write: (body: ByteWriter) => void): void {
  const body = new ByteWriter(256);
  write(body);
  body.align(4);
  const length = body.length + 12;
  writer.u32(type).u32(length).raw(body.view()).u32(length);
}

function text(writer: ByteWriter, code: number, value: string): void {
  const bytes = new TextEncoder().encode(value).subarray(0, 0xffff);
  writer.u16(code).u16(bytes.length).raw(bytes).align(4);
}

import { type Address, addressFromBytes, bytesOf, type Family } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { baseOf, lengthOf, type Prefix } from "../base/prefix.ts";

/**
 * What an nf_tables register, set key or set datum holds: its bytes as lower-case hex. A string, so that it is a Map key,
 * is compared with === and prints. The bytes stand as the kernel compares them: packet fields (addresses, ports) in
 * network order; marks, interface indexes and other values of the kernel's own in host order.
 */
export type NftData = string & { readonly __nftData: true };

/** NFT_DATA_VALUE_MAXLEN: 64 bytes, the whole register file. */
export const maximumDataLength = 64;

/** @throws TwillError `invalid` for no bytes or more than 64. */
export function dataOf(bytes: Uint8Array): NftData {
  if (bytes.length === 0 || bytes.length > maximumDataLength) {
    throw new TwillError("invalid", `nf_tables data has 1 to ${maximumDataLength} bytes, not ${bytes.length}`);
  }
  return bytes.toHex() as NftData;
}

export const bytesOfData = (data: NftData): Uint8Array => Uint8Array.fromHex(data);
export const dataLength = (data: NftData): number => data.length / 2;

export const addressData = (address: Address): NftData => dataOf(bytesOf(address));
export const prefixData = (prefix: Prefix): NftData => addressData(baseOf(prefix));
/** @throws TwillError `corrupt` unless data has 4 or 16 bytes. */
export const addressOfData = (data: NftData): Address => addressFromBytes(bytesOfData(data));

const digits = (value: number | bigint, bytes: number): string => value.toString(16).padStart(bytes * 2, "0");
const reversed = (text: string): string => text.match(/../g)?.reverse().join("") ?? "";

function checked(value: number, bytes: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * bytes)) {
    throw new TwillError("invalid", `${value} does not fit ${bytes} byte${bytes === 1 ? "" : "s"}`);
  }
  return value;
}

export const byteData = (value: number): NftData => digits(checked(value, 1), 1) as NftData;
/** A port, in network order. */
export const portData = (port: number): NftData => digits(checked(port, 2), 2) as NftData;
/** A packet field of 32 bits, in network order. */
export const networkData = (value: number): NftData => digits(checked(value, 4), 4) as NftData;
/** A mark, interface index, class number…: 32 bits in host order. */
export const hostData = (value: number): NftData => digits(swapped(checked(value, 4)), 4) as NftData;
const swapped = (value: number): number =>
  ((value << 24) | ((value << 8) & 0xff0000) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;

/** @throws TwillError `invalid` unless data has four bytes. */
export function numberOfHostData(data: NftData): number {
  if (data.length !== 8) throw new TwillError("invalid", `${dataLength(data)} bytes are not a 32-bit number`);
  return Number.parseInt(reversed(data), 16);
}

/** IFNAMSIZ: names are compared over all 16 bytes; with `wildcard`, over those of the prefix only ("eth*"). */
export function interfaceData(name: string, options: { readonly wildcard?: boolean } = {}): NftData {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length > 15) {
    throw new TwillError("invalid", `"${name}" is not an interface name`, { remedy: "use 1 to 15 bytes" });
  }
  if (options.wildcard) return dataOf(bytes);
  const padded = new Uint8Array(16);
  padded.set(bytes);
  return dataOf(padded);
}

/** 128 conntrack label bits, in host order within 32-bit words: bit n is byte n/8, bit n%8. */
export function labelData(bits: Iterable<number>): NftData {
  const bytes = new Uint8Array(16);
  for (const bit of bits) {
    if (!Number.isInteger(bit) || bit < 0 || bit > 127) throw new TwillError("invalid", `${bit} is not a label bit`);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return dataOf(bytes);
}

/** Fields of a concatenated key: each starts on a 32-bit register, so each is padded with zeros to 4 bytes. */
export const concatenated = (...fields: readonly NftData[]): NftData =>
  fields.map((field) => field.padEnd(Math.ceil(field.length / 8) * 8, "0")).join("") as NftData;

/** The mask of a prefix length, for a bitwise expression before a comparison. */
export function maskData(family: Family, length: number): NftData {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  for (let bit = 0; bit < length; bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return dataOf(bytes);
}

/** First and last address of a prefix: the ends of an interval element. */
export function prefixRange(prefix: Prefix): { readonly first: NftData; readonly last: NftData } {
  const first = bytesOf(baseOf(prefix));
  const mask = bytesOfData(maskData(first.length === 4 ? 4 : 6, lengthOf(prefix)));
  return { first: dataOf(first), last: dataOf(first.map((byte, index) => byte | (~(mask[index] ?? 0) & 0xff))) };
}

export const zeroData = (length: number): NftData => "00".repeat(length) as NftData;

import { TwillError } from "./errors.ts";

/**
 * An IP address in its canonical text (dotted quad; RFC 5952 for IPv6, without zone). Two addresses are equal exactly
 * when their strings are, so an Address is a Map key and prints as itself. Made only by the functions of this file.
 */
export type Address = string & { readonly __address: true };
export type Family = 4 | 6;

export const familyOf = (address: Address): Family => (address.includes(":") ? 6 : 4);
export const widthOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** @throws TwillError `invalid` when text is not an IP address. Leading zeros in a dotted quad are refused (RFC 6943 section 3.1.1). */
export function parseAddress(text: string): Address {
  const address = tryAddress(text);
  if (address === undefined) throw new TwillError("invalid", `"${text}" is not an IP address`);
  return address;
}

export function tryAddress(text: string): Address | undefined {
  const bytes = text.includes(":") ? parse6(text) : parse4(text);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

/** 4 or 16 bytes in network order. @throws TwillError `corrupt` for any other length. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length === 16) return format6(bytes) as Address;
  throw new TwillError("corrupt", `an IP address has 4 or 16 bytes, not ${bytes.length}`);
}

/** 4 or 16 bytes in network order. */
export function bytesOf(address: Address): Uint8Array {
  const bytes = address.includes(":") ? parse6(address) : parse4(address);
  if (bytes === undefined) throw new TwillError("internal", `"${address}" was never an Address`);
  return bytes;
}

/** The address as an unsigned number, most significant byte first. */
export function numberOf(address: Address): bigint {
  let value = 0n;
  for (const byte of bytesOf(address)) value = (value << 8n) | BigInt(byte);
  return value;
}

/** @throws TwillError `invalid` when value does not fit the family. */
export function addressFromNumber(family: Family, value: bigint): Address {
  const width = widthOf(family);
  if (value < 0n || value >> BigInt(width) !== 0n) {
    throw new TwillError("invalid", `${value} is outside the IPv${family} address space`);
  }
  const bytes = new Uint8Array(width / 8);
  let rest = value;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return addressFromBytes(bytes);
}

/** IPv4 before IPv6, then by number. */
export function compareAddresses(a: Address, b: Address): number {
  const families = familyOf(a) - familyOf(b);
  if (families !== 0) return families;
  const left = bytesOf(a);
  const right = bytesOf(b);
  for (let index = 0; index < left.length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export const unspecified = (family: Family): Address => (family === 4 ? "0.0.0.0" : "::") as Address;

function parse4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = new Uint8Array(4);
  for (let index = 0; index < 4; index++) {
    const part = match[index + 1] ?? "";
    const value = Number(part);
    if (value > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    bytes[index] = value;
  }
  return bytes;
}

function parse6(text: string): Uint8Array | undefined {
  let body = text;
  let tail: Uint8Array | undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    tail = parse4(dotted[2] ?? "");
    if (tail === undefined) return undefined;
    const high = (((tail[0] ?? 0) << 8) | (tail[1] ?? 0)).toString(16);
    const low = (((tail[2] ?? 0) << 8) | (tail[3] ?? 0)).toString(16);
    body = `${dotted[1]}${high}:${low}`;
  }
  const halves = body.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "");
  const rest = halves.length === 2 ? groups(halves[1] ?? "") : [];
  if (head === undefined || rest === undefined) return undefined;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...rest];
  const bytes = new Uint8Array(16);
  all.forEach((group, index) => {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  });
  return bytes;
}

function groups(text: string): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  return parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))
    ? parts.map((part) => Number.parseInt(part, 16))
    : undefined;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups shortened. */
function format6(bytes: Uint8Array): string {
  const parts: number[] = [];
  for (let index = 0; index < 16; index += 2) parts.push(((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && parts[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (part: number) => part.toString(16);
  if (best.start < 0) return parts.map(hex).join(":");
  return `${parts.slice(0, best.start).map(hex).join(":")}::${parts
    .slice(best.start + best.length)
    .map(hex)
    .join(":")}`;
}

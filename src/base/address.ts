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
  if (!text.includes(":")) return parse4(text) === undefined ? undefined : (text as Address);
  const bytes = parse6(text);
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
  if (!address.includes(":")) return bytes4(number4(address));
  return parse6(address) ?? neverOne(address);
}

/** An IPv4 address as an unsigned number. */
export const number4 = (address: Address): number => parse4(address) ?? neverOne(address);

function neverOne(address: string): never {
  throw new TwillError("internal", `"${address}" was never an Address`);
}

/** The address as an unsigned number, most significant byte first. */
export function numberOf(address: Address): bigint {
  if (!address.includes(":")) return BigInt(number4(address));
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
  if (family === 4) return addressFromBytes(bytes4(Number(value)));
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

/** A dotted quad, as an unsigned number. By character: of all that an agent does with 5,000 leases, this is done most often. */
function parse4(text: string): number | undefined {
  let value = 0;
  let parts = 0;
  let part = 0;
  let digits = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index < text.length ? text.charCodeAt(index) : dot;
    if (code === dot) {
      if (digits === 0 || part > 255) return undefined;
      value = value * 256 + part;
      part = 0;
      digits = 0;
      parts++;
    } else {
      // A second digit behind a zero, or a fourth one.
      if (code < zero || code > zero + 9 || (digits > 0 && part === 0) || digits === 3) return undefined;
      part = part * 10 + (code - zero);
      digits++;
    }
  }
  return parts === 4 ? value : undefined;
}

const dot = 0x2e;
const zero = 0x30;

const bytes4 = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);

function parse6(text: string): Uint8Array | undefined {
  let body = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const tail = parse4(dotted[2] ?? "");
    if (tail === undefined) return undefined;
    body = `${dotted[1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
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

import {
  type Address,
  addressFromNumber,
  bytesOf,
  type Family,
  familyOf,
  number4,
  numberOf,
  tryAddress,
  widthOf,
} from "./address.ts";
import { TwillError } from "./errors.ts";

/** A network in canonical text, host bits zero: "10.244.0.0/16". Equal exactly when the strings are. */
export type Prefix = string & { readonly __prefix: true };

/** An address with the length of its network, host bits kept: "10.244.1.1/24", as on an interface. */
export interface InterfaceAddress {
  readonly address: Address;
  readonly length: number;
}

export const baseOf = (prefix: Prefix): Address => prefix.slice(0, prefix.lastIndexOf("/")) as Address;
export const lengthOf = (prefix: Prefix): number => Number(prefix.slice(prefix.lastIndexOf("/") + 1));
export const prefixFamily = (prefix: Prefix): Family => familyOf(baseOf(prefix));

/** @throws TwillError `invalid`: not an address, no mask, mask out of range. Host bits are cleared, never refused: see parseStrictPrefix. */
export function parsePrefix(text: string): Prefix {
  const { address, length } = parseInterfaceAddress(text);
  return prefixOf(address, length);
}

/** As parsePrefix, but host bits must be zero. */
export function parseStrictPrefix(text: string): Prefix {
  const { address, length } = parseInterfaceAddress(text);
  const prefix = prefixOf(address, length);
  if (baseOf(prefix) !== address) {
    throw new TwillError("invalid", `"${text}" has host bits set`, { remedy: `write ${prefix}` });
  }
  return prefix;
}

/** "10.1.2.3/24" with its host bits. @throws TwillError `invalid`. */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const slash = text.indexOf("/");
  const address = tryAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined)
    throw new TwillError("invalid", `"${text}" is not a network`, {
      remedy: "write it as ADDRESS/LENGTH, e.g. 10.244.0.0/16",
    });
  const width = widthOf(familyOf(address));
  if (slash < 0)
    throw new TwillError("invalid", `"${text}" has no mask`, {
      remedy: `add one, e.g. ${text}/${width === 32 ? 16 : 56}`,
    });
  const digits = text.slice(slash + 1);
  const length = /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(length <= width)) {
    throw new TwillError("invalid", `"${text}" has the mask length "${digits}"`, {
      remedy: `use 0 to ${width} for IPv${familyOf(address)}`,
    });
  }
  return { address, length };
}

export function prefixOf(address: Address, length: number): Prefix {
  const family = familyOf(address);
  const hostBits = BigInt(widthOf(family) - length);
  return `${addressFromNumber(family, (numberOf(address) >> hostBits) << hostBits)}/${length}` as Prefix;
}

/** The /32 or /128 of one address. */
export const hostPrefix = (address: Address): Prefix => `${address}/${widthOf(familyOf(address))}` as Prefix;
export const everything = (family: Family): Prefix => (family === 4 ? "0.0.0.0/0" : "::/0") as Prefix;
export const isEverything = (prefix: Prefix): boolean => prefix.endsWith("/0");

export function contains(prefix: Prefix, address: Address): boolean {
  const base = baseOf(prefix);
  const length = lengthOf(prefix);
  if (familyOf(base) !== familyOf(address)) return false;
  if (familyOf(base) === 4) {
    // By division: a shift by 32 is none.
    const size = 2 ** (32 - length);
    return Math.floor(number4(base) / size) === Math.floor(number4(address) / size);
  }
  const left = bytesOf(base);
  const right = bytesOf(address);
  const whole = length >> 3;
  for (let index = 0; index < whole; index++) if (left[index] !== right[index]) return false;
  const bits = length & 7;
  return bits === 0 || ((left[whole] ?? 0) ^ (right[whole] ?? 0)) >> (8 - bits) === 0;
}

export const covers = (outer: Prefix, inner: Prefix): boolean =>
  lengthOf(outer) <= lengthOf(inner) && contains(outer, baseOf(inner));

export const overlaps = (a: Prefix, b: Prefix): boolean =>
  lengthOf(a) <= lengthOf(b) ? contains(a, baseOf(b)) : contains(b, baseOf(a));

/** How many addresses the prefix holds, network and broadcast addresses included. */
export const sizeOf = (prefix: Prefix): bigint => 1n << BigInt(widthOf(prefixFamily(prefix)) - lengthOf(prefix));

/** The address at an offset from the base. @throws TwillError `invalid` outside the prefix. */
export function addressAt(prefix: Prefix, offset: bigint): Address {
  if (offset < 0n || offset >= sizeOf(prefix)) throw new TwillError("invalid", `offset ${offset} is outside ${prefix}`);
  return addressFromNumber(prefixFamily(prefix), numberOf(baseOf(prefix)) + offset);
}

export const offsetIn = (prefix: Prefix, address: Address): bigint => numberOf(address) - numberOf(baseOf(prefix));

/** How many subnets of that length the prefix holds. */
export const subnetCount = (prefix: Prefix, length: number): bigint => 1n << BigInt(length - lengthOf(prefix));

/** The subnet of that length with that index, counted from the base. */
export function subnetAt(prefix: Prefix, length: number, index: bigint): Prefix {
  const family = prefixFamily(prefix);
  const step = 1n << BigInt(widthOf(family) - length);
  return `${addressFromNumber(family, numberOf(baseOf(prefix)) + index * step)}/${length}` as Prefix;
}

export const formatInterfaceAddress = (value: InterfaceAddress): string => `${value.address}/${value.length}`;

import { TwillError } from "../../base/errors.ts";
import type { NftType } from "../../objects/nft.ts";

/**
 * What nft (the program) calls the types of keys and data. To the kernel NFTA_SET_KEY_TYPE is an opaque number that it
 * hands back; nft prints by it. Numbers: enum datatypes in nftables' include/datatype.h, stable since 0.x.
 */
interface DataType {
  readonly number: number;
  /** Bytes; 0 where the set says how many. */
  readonly length: number;
  /** Host order: nft must be told in the set's user data, else it prints the value swapped. */
  readonly host: boolean;
}

const types: Readonly<Record<NftType, DataType>> = {
  nf_proto: { number: 2, length: 1, host: true },
  integer: { number: 4, length: 0, host: false },
  ipv4_addr: { number: 7, length: 4, host: false },
  ipv6_addr: { number: 8, length: 16, host: false },
  ether_addr: { number: 9, length: 6, host: false },
  inet_proto: { number: 12, length: 1, host: false },
  inet_service: { number: 13, length: 2, host: false },
  mark: { number: 19, length: 4, host: true },
  iface_index: { number: 20, length: 4, host: true },
  ct_label: { number: 30, length: 16, host: true },
  ifname: { number: 41, length: 16, host: true },
};

const byNumber = new Map(Object.entries(types).map(([name, type]) => [type.number, name as NftType]));

/** TYPE_BITS of nftables: a concatenation's number holds six bits a field, the first field highest. */
const bitsPerField = 6;
const fieldsAtMost = 5;

export const typeNumber = (type: NftType): number => types[type].number;
export const typeLength = (type: NftType): number => types[type].length;
export const isHostOrder = (type: NftType): boolean => types[type].host;

/** Bytes of a key of these fields: alone as it is, concatenated each padded to 4. */
export function keyLength(fields: readonly NftType[]): number {
  const only = fields[0];
  if (fields.length === 1 && only !== undefined) return typeLength(only);
  return fields.reduce((sum, field) => sum + Math.ceil(typeLength(field) / 4) * 4, 0);
}

/** @throws TwillError `invalid` for more than five fields: the number has 32 bits. */
export function keyTypeNumber(fields: readonly NftType[]): number {
  if (fields.length === 0 || fields.length > fieldsAtMost) {
    throw new TwillError("invalid", `a key has 1 to ${fieldsAtMost} fields, not ${fields.length}`);
  }
  return fields.reduce((number, field) => number * 2 ** bitsPerField + types[field].number, 0);
}

/** The fields of a key type number; empty when any is not ours to name. */
export function keyTypes(number: number): NftType[] {
  const fields: NftType[] = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 2 ** bitsPerField)) {
    const type = byNumber.get(rest % 2 ** bitsPerField);
    if (type === undefined) return [];
    fields.unshift(type);
  }
  return fields;
}

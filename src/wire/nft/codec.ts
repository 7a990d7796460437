import { bytesOfData, dataOf, type NftData } from "../../objects/nft-data.ts";
import type { NftRegister } from "../../objects/nft-expression.ts";
import { type AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";

/**
 * nf_tables describes each expression by a handful of attributes. A Codec is one attribute's value both ways, so that what
 * is written and what is read cannot drift apart; a `struct` is a table of them.
 */
export interface Codec<T> {
  write(writer: AttributeWriter, attribute: number, value: T): void;
  /** undefined: a value that we have no name for. The expression is then kept raw. */
  read(attribute: AttributeReader): T | undefined;
}

/** NFTA_DATA_VALUE, NFTA_DATA_VERDICT: enum nft_data_attributes. */
export const NFTA_DATA_VALUE = 1;
export const NFTA_DATA_VERDICT = 2;
/** NFTA_LIST_ELEM. */
export const NFTA_LIST_ELEM = 1;

/** Numbers are in network order throughout nf_tables. */
export const u32: Codec<number> = {
  write: (writer, attribute, value) => writer.u32be(attribute, value),
  read: (attribute) => attribute.u32be(),
};
export const u16: Codec<number> = {
  write: (writer, attribute, value) => writer.u16be(attribute, value),
  read: (attribute) => attribute.u16be(),
};
export const u8: Codec<number> = {
  write: (writer, attribute, value) => writer.u8(attribute, value),
  read: (attribute) => attribute.u8(),
};
export const u64: Codec<bigint> = {
  write: (writer, attribute, value) => writer.u64be(attribute, value),
  read: (attribute) => attribute.u64be(),
};
/** 64 bits whose values stay below 2^53: times, handles, rates. */
export const safe64: Codec<number> = {
  write: (writer, attribute, value) => writer.u64be(attribute, BigInt(value)),
  read: (attribute) => {
    const value = attribute.u64be();
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
  },
};

const strict = new TextDecoder("utf-8", { fatal: true });

/** A string that is not UTF-8, or does not end where its attribute does, is not read, for it could not be written back. */
export const string: Codec<string> = {
  write: (writer, attribute, value) => writer.string(attribute, value),
  read: (attribute) => {
    const bytes = attribute.bytes();
    const end = bytes.indexOf(0);
    try {
      return strict.decode(end < 0 ? bytes : bytes.subarray(0, end));
    } catch {
      return undefined;
    }
  },
};

/** NFTA_DATA_VALUE in its nest. */
export const data: Codec<NftData> = {
  write: (writer, attribute, value) => {
    writer.nested(attribute | NLA_F_NESTED, () => writer.raw(NFTA_DATA_VALUE, bytesOfData(value)));
  },
  read: (attribute) => {
    const inner = attribute.nested();
    let value: NftData | undefined;
    while (inner.next()) {
      if (inner.type !== NFTA_DATA_VALUE || inner.length === 0 || inner.length > 64) return undefined;
      value = dataOf(inner.bytes());
    }
    return value;
  },
};

/**
 * NFT_REG_1 to NFT_REG_4 are 16 bytes each, NFT_REG32_00 (8) to NFT_REG32_15 (23) 4 bytes each of the same 64. The kernel
 * reports the wide name wherever one starts there (nft_dump_register), so that is what is sent too.
 */
export const register: Codec<NftRegister> = {
  write: (writer, attribute, value) => writer.u32be(attribute, value % 4 === 0 ? 1 + value / 4 : 8 + value),
  read: (attribute) => {
    const value = attribute.u32be();
    if (value >= 1 && value <= 4) return (value - 1) * 4;
    return value >= 8 && value <= 23 ? value - 8 : undefined;
  },
};

/** A number for which we have a name, at its index. */
export function oneOf<const T extends string>(names: readonly T[], number: Codec<number> = u32, first = 0): Codec<T> {
  return {
    write: (writer, attribute, value) => number.write(writer, attribute, names.indexOf(value) + first),
    read: (attribute) => {
      const value = number.read(attribute);
      return value === undefined ? undefined : names[value - first];
    },
  };
}

/** A number for which we have a name, by a table. */
export function named<const T extends string | number>(numbers: Readonly<Record<T, number>>): Codec<T> {
  const entries = Object.entries<number>(numbers);
  return {
    write: (writer, attribute, value) => writer.u32be(attribute, numbers[value]),
    read: (attribute) => {
      const value = attribute.u32be();
      const name = entries.find(([, number]) => number === value)?.[0];
      if (name === undefined) return undefined;
      return (Number.isNaN(Number(name)) ? name : Number(name)) as T;
    },
  };
}

/** Bits of a 32-bit number, each with a name at its index. */
export const flags = <const T extends string>(names: readonly T[]): Codec<readonly T[]> => ({
  write: (writer, attribute, value) => writer.u32be(attribute, bitsOf(names, value)),
  read: (attribute) => namesOf(names, attribute.u32be()),
});

export const bitsOf = <T extends string>(names: readonly T[], value: readonly T[]): number =>
  value.reduce((bits, name) => bits | (1 << names.indexOf(name)), 0);

/** undefined when there is a bit without a name. */
export const namesOf = <T extends string>(names: readonly T[], bits: number): T[] | undefined =>
  bits >= 2 ** names.length ? undefined : names.filter((_, index) => (bits & (1 << index)) !== 0);

/** One flag bit in a word of its own. */
export const bit = (mask: number): Codec<boolean> => ({
  write: (writer, attribute, value) => writer.u32be(attribute, value ? mask : 0),
  read: (attribute) => {
    const value = attribute.u32be();
    return value === mask ? true : value === 0 ? false : undefined;
  },
});

export interface Field<T> {
  readonly attribute: number;
  readonly codec: Codec<T>;
  /** What the kernel reports, and takes for granted, when the field was not given. Makes the field optional. */
  readonly fallback?: T;
}

/** A table with an entry for each field of T but its `type`. */
export type Fields<T> = { readonly [K in Exclude<keyof T, "type">]-?: Field<Exclude<T[K], undefined>> };

interface Plain {
  readonly attribute: number;
  readonly codec: Codec<unknown>;
  readonly fallback?: unknown;
}

export interface Struct<T> {
  /** The attributes themselves, without a nest around them. */
  write(writer: AttributeWriter, value: T): void;
  /** undefined when an attribute or value is not known, or a field that cannot be absent is. */
  read(attributes: AttributeReader): T | undefined;
}

export interface StructOptions<T> {
  /** Fields of T that may be absent. */
  readonly optional?: readonly (keyof T)[];
  /** Attributes that say nothing. */
  readonly ignored?: readonly number[];
  /** Attributes, 32 bits each, that always have this value. */
  readonly fixed?: Readonly<Record<number, number>>;
}

/** @param base what every value of T has besides the fields: its `type`. */
export function struct<T extends object>(
  base: Partial<T>,
  fields: Fields<T>,
  options: StructOptions<T> = {},
): Struct<T> {
  const { optional = [], ignored = [], fixed = {} } = options;
  const constants = Object.entries(fixed).map(([attribute, value]) => [Number(attribute), value] as const);
  // The table's types are checked where it is written; here a value only passes between a field and its own codec.
  const entries = Object.entries(fields as unknown as Readonly<Record<string, Plain>>);
  const byAttribute = new Map(entries.map((entry) => [entry[1].attribute, entry]));
  const required = entries
    .filter(([name, field]) => field.fallback === undefined && !optional.includes(name as keyof T))
    .map(([name]) => name);
  return {
    write: (writer, value) => {
      const values = value as Readonly<Record<string, unknown>>;
      for (const [attribute, constant] of constants) writer.u32be(attribute, constant);
      for (const [name, field] of entries) {
        const given = values[name];
        if (given !== undefined) field.codec.write(writer, field.attribute, given);
      }
    },
    read: (attributes) => {
      const values: Record<string, unknown> = { ...base };
      while (attributes.next()) {
        const { type } = attributes;
        if (ignored.includes(type)) continue;
        const constant = fixed[type];
        if (constant !== undefined) {
          if (attributes.u32be() !== constant) return undefined;
          continue;
        }
        const entry = byAttribute.get(type);
        const value = entry?.[1].codec.read(attributes);
        if (entry === undefined || value === undefined) return undefined;
        if (!isSame(value, entry[1].fallback)) values[entry[0]] = value;
      }
      return required.every((name) => name in values) ? (values as T) : undefined;
    },
  };
}

const isSame = (a: unknown, b: unknown): boolean =>
  a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, at) => item === b[at]));

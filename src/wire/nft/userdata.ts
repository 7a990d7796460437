import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";

/**
 * User data of tables, chains, rules, sets and elements: bytes that the kernel keeps and never reads. libnftnl's format
 * (include/libnftnl/udata.h): a sequence of type u8, length u8, value. Unknown types are skipped by nft, so that ours is
 * safe beside its own.
 */
export interface UserData {
  readonly comment?: string;
  /** Type 0x54, ours: the content key of a rule. */
  readonly key?: string;
  /** NFTNL_UDATA_SET_KEYBYTEORDER and DATABYTEORDER: 1 host, 2 network. */
  readonly keyOrder?: number;
  readonly dataOrder?: number;
}

/** Which numbers the fields have differs by object: a set's comment is not where the others' is. */
interface Layout {
  readonly comment: number;
  readonly key?: number;
  readonly keyOrder?: number;
  readonly dataOrder?: number;
}

export const objectUserData: Layout = { comment: 0, key: 0x54 };
export const setUserData: Layout = { comment: 7, keyOrder: 0, dataOrder: 1 };

/** NFT_USERDATA_MAXLEN. */
const maximumLength = 256;

/** @throws TwillError `invalid` when it does not fit; undefined when there is nothing to say. */
export function encodeUserData(layout: Layout, data: UserData): Uint8Array | undefined {
  const writer = new ByteWriter(64);
  const field = (type: number | undefined, value: Uint8Array): void => {
    if (type === undefined) return;
    if (value.length > 255) throw tooLong(data);
    writer.u8(type).u8(value.length).raw(value);
  };
  if (data.keyOrder !== undefined) field(layout.keyOrder, new ByteWriter(4).u32(data.keyOrder).bytes());
  if (data.dataOrder !== undefined) field(layout.dataOrder, new ByteWriter(4).u32(data.dataOrder).bytes());
  if (data.comment !== undefined) field(layout.comment, text(data.comment));
  if (data.key !== undefined) field(layout.key, text(data.key));
  if (writer.length > maximumLength) throw tooLong(data);
  return writer.length === 0 ? undefined : writer.bytes();
}

/** Never throws: another program may have put anything there. What does not read as libnftnl's format is left out. */
export function decodeUserData(layout: Layout, bytes: Uint8Array): UserData {
  const found: { comment?: string; key?: string; keyOrder?: number; dataOrder?: number } = {};
  const reader = new ByteReader(bytes);
  while (reader.remaining >= 2) {
    const type = reader.u8();
    const length = reader.u8();
    if (length > reader.remaining) break;
    const value = reader.take(length);
    if (type === layout.comment) found.comment = textOf(value);
    else if (type === layout.key) found.key = textOf(value);
    else if (type === layout.keyOrder && length === 4) found.keyOrder = new ByteReader(value).u32();
    else if (type === layout.dataOrder && length === 4) found.dataOrder = new ByteReader(value).u32();
  }
  return found;
}

/** nft reads comments as C strings and refuses (aborts the whole listing in old versions) one without its NUL. */
function text(value: string): Uint8Array {
  if (value.includes("\0")) throw new TwillError("invalid", `${JSON.stringify(value)} has a NUL in it`);
  return new TextEncoder().encode(`${value}\0`);
}

function textOf(value: Uint8Array): string {
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

const tooLong = (data: UserData): TwillError =>
  new TwillError("invalid", "comment and key together exceed nf_tables' 256 bytes of user data", {
    object: data.comment ?? data.key ?? "user data",
    remedy: "shorten the comment to at most 128 bytes",
  });

import { TwillError } from "../../base/errors.ts";
import type { NftFamily, NftMapData, NftSet, NftType } from "../../objects/nft.ts";
import { type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import { type NetlinkRequest, NLM_F_CREATE } from "../netlink/message.ts";
import { NFTA_LIST_ELEM, safe64 } from "./codec.ts";
import { isHostOrder, keyTypeNumber, keyTypes, typeLength, typeNumber } from "./data-type.ts";
import { readExpression, readExpressions, writeExpression } from "./expression.ts";
import { attributesOf, familyOfProtocol, readHeader } from "./header.ts";
import { nftRequest } from "./message.ts";
import { decodeUserData, encodeUserData, setUserData } from "./userdata.ts";

/** enum nft_set_attributes. */
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_DESC = 9;
const NFTA_SET_ID = 10;
const NFTA_SET_TIMEOUT = 11;
const NFTA_SET_USERDATA = 13;
const NFTA_SET_OBJ_TYPE = 15;
const NFTA_SET_HANDLE = 16;
const NFTA_SET_EXPR = 17;
const NFTA_SET_EXPRESSIONS = 18;
/** enum nft_set_desc_attributes, nft_set_field_attributes. */
const NFTA_SET_DESC_SIZE = 1;
const NFTA_SET_DESC_CONCAT = 2;
const NFTA_SET_FIELD_LEN = 1;

/** enum nft_set_flags. */
const flagBits = { anonymous: 0x1, constant: 0x2, interval: 0x4, timeout: 0x10, dynamic: 0x20 } as const;
const NFT_SET_MAP = 0x8;
const NFT_SET_OBJECT = 0x40;
/** 5.6: the key is a concatenation of ranges, its fields are described. */
const NFT_SET_CONCAT = 0x80;
/** NFT_DATA_VERDICT. */
const verdictType = 0xffffff00;
/** NFTNL_UDATA_SET_KEYBYTEORDER: enum byteorder of nftables. 0 leaves it open, as nft does for concatenations. */
const hostOrder = 1;
const networkOrder = 2;

/**
 * Creates a set or map; one that exists stays as it is, and is EEXIST when it differs.
 * @param id unique within the transaction: the kernel insists on it.
 */
export const newSet = (set: NftSet, id: number): NetlinkRequest =>
  nftRequest("NEWSET", set.family, NLM_F_CREATE, (attributes) => {
    attributes
      .string(NFTA_SET_TABLE, set.table)
      .string(NFTA_SET_NAME, set.name)
      .u32be(NFTA_SET_FLAGS, flagsOf(set))
      .u32be(NFTA_SET_KEY_TYPE, set.key.length === 0 ? 0 : keyTypeNumber(set.key))
      .u32be(NFTA_SET_KEY_LEN, set.keyLength);
    if (set.data !== undefined) writeData(attributes, set.data);
    writeDescription(attributes, set);
    attributes.u32be(NFTA_SET_ID, id);
    if (set.defaultTimeout !== undefined) attributes.u64be(NFTA_SET_TIMEOUT, BigInt(set.defaultTimeout));
    const userData = encodeUserData(setUserData, {
      ...(set.key.length === 0 ? {} : { keyOrder: orderOf(set.key) }),
      ...(set.data !== undefined && "length" in set.data ? { dataOrder: dataOrderOf(set.data) } : {}),
      ...(set.comment === undefined ? {} : { comment: set.comment }),
    });
    if (userData !== undefined) attributes.raw(NFTA_SET_USERDATA, userData);
    if (set.counter === true) {
      attributes.nested(NFTA_SET_EXPR | NLA_F_NESTED, () => writeExpression(attributes, { type: "counter" }));
    }
  });

/** With its elements. EBUSY while a rule refers to it. */
export const deleteSet = (family: NftFamily, table: string, name: string): NetlinkRequest =>
  nftRequest("DELSET", family, 0, (attributes) => attributes.string(NFTA_SET_TABLE, table).string(NFTA_SET_NAME, name));

/** Filtered by the kernel when a table is given, which then must exist (ENOENT). */
export const getSets = (family?: NftFamily, table?: string): NetlinkRequest =>
  nftRequest("GETSET", family, 0, (attributes) => {
    if (table !== undefined) attributes.string(NFTA_SET_TABLE, table);
  });

const orderOf = (key: readonly NftType[]): number => {
  const [only] = key;
  if (key.length !== 1 || only === undefined) return 0;
  return isHostOrder(only) ? hostOrder : networkOrder;
};

const dataOrderOf = (data: Extract<NftMapData, { readonly length: number }>): number =>
  data.type === "unknown" || data.type === "concatenation" ? 0 : orderOf([data.type]);

function flagsOf(set: NftSet): number {
  let flags = 0;
  for (const name of ["anonymous", "constant", "interval", "timeout", "dynamic"] as const) {
    if (set[name] === true) flags |= flagBits[name];
  }
  if (set.data !== undefined) flags |= set.data.type === "object" ? NFT_SET_OBJECT : NFT_SET_MAP;
  if (set.interval === true && set.key.length > 1) flags |= NFT_SET_CONCAT;
  return flags;
}

function writeData(attributes: AttributeWriter, data: NftMapData): void {
  if (data.type === "object") attributes.u32be(NFTA_SET_OBJ_TYPE, data.object);
  else if (data.type === "verdict") attributes.u32be(NFTA_SET_DATA_TYPE, verdictType);
  else {
    attributes.u32be(NFTA_SET_DATA_TYPE, dataTypeNumber(data));
    attributes.u32be(NFTA_SET_DATA_LEN, data.length);
  }
}

function dataTypeNumber(data: Extract<NftMapData, { readonly length: number }>): number {
  if (data.type === "unknown") return data.number;
  return data.type === "concatenation" ? keyTypeNumber(data.fields) : typeNumber(data.type);
}

/** The size lets the kernel make the hash once, as large as it will be; the fields let it build a tree for each of them. */
function writeDescription(attributes: AttributeWriter, set: NftSet): void {
  const fields = set.interval === true && set.key.length > 1 ? set.key : [];
  if (set.size === undefined && fields.length === 0) return;
  attributes.nested(NFTA_SET_DESC | NLA_F_NESTED, () => {
    if (set.size !== undefined) attributes.u32be(NFTA_SET_DESC_SIZE, set.size);
    if (fields.length === 0) return;
    attributes.nested(NFTA_SET_DESC_CONCAT | NLA_F_NESTED, () => {
      for (const field of fields) {
        attributes.nested(NFTA_LIST_ELEM | NLA_F_NESTED, () => attributes.u32be(NFTA_SET_FIELD_LEN, typeLength(field)));
      }
    });
  });
}

/** NFT_MSG_NEWSET. @throws TwillError `corrupt`. */
export function decodeSet(payload: Uint8Array): NftSet {
  const family = familyOfProtocol(readHeader(payload).protocol);
  const attributes = attributesOf(payload);
  const found: { -readonly [K in keyof NftSet]?: NftSet[K] } = {};
  let flags = 0;
  let dataType: number | undefined;
  let dataLength = 0;
  let object: number | undefined;
  while (attributes.next()) {
    switch (attributes.type) {
      case NFTA_SET_TABLE:
        found.table = attributes.string();
        break;
      case NFTA_SET_NAME:
        found.name = attributes.string();
        break;
      case NFTA_SET_FLAGS:
        flags = attributes.u32be();
        break;
      case NFTA_SET_KEY_TYPE:
        found.key = keyTypes(attributes.u32be());
        break;
      case NFTA_SET_KEY_LEN:
        found.keyLength = attributes.u32be();
        break;
      case NFTA_SET_DATA_TYPE:
        dataType = attributes.u32be();
        break;
      case NFTA_SET_DATA_LEN:
        dataLength = attributes.u32be();
        break;
      case NFTA_SET_OBJ_TYPE:
        object = attributes.u32be();
        break;
      case NFTA_SET_DESC: {
        const inner = attributes.nested();
        while (inner.next()) if (inner.type === NFTA_SET_DESC_SIZE) found.size = inner.u32be();
        break;
      }
      case NFTA_SET_TIMEOUT: {
        const timeout = safe64.read(attributes);
        if (timeout !== undefined && timeout !== 0) found.defaultTimeout = timeout;
        break;
      }
      case NFTA_SET_HANDLE: {
        const handle = safe64.read(attributes);
        if (handle !== undefined) found.handle = handle;
        break;
      }
      case NFTA_SET_USERDATA: {
        const { comment } = decodeUserData(setUserData, attributes.bytes());
        if (comment !== undefined) found.comment = comment;
        break;
      }
      case NFTA_SET_EXPR:
        if (readExpression(attributes.nested()).type === "counter") found.counter = true;
        break;
      case NFTA_SET_EXPRESSIONS:
        if (readExpressions(attributes.nested()).some(({ type }) => type === "counter")) found.counter = true;
        break;
    }
  }
  const { table, name, key = [], keyLength = 0, ...rest } = found;
  if (table === undefined || name === undefined) throw new TwillError("corrupt", "an nf_tables set has no name");
  for (const flag of ["anonymous", "constant", "interval", "timeout", "dynamic"] as const) {
    if ((flags & flagBits[flag]) !== 0) rest[flag] = true;
  }
  if ((flags & NFT_SET_MAP) !== 0 && dataType !== undefined) rest.data = dataOfSet(dataType, dataLength);
  else if ((flags & NFT_SET_OBJECT) !== 0 && object !== undefined) rest.data = { type: "object", object };
  return { family, table, name, key, keyLength, ...rest };
}

function dataOfSet(number: number, length: number): NftMapData {
  if (number === verdictType) return { type: "verdict" };
  const [type, ...more] = keyTypes(number);
  if (type === undefined) return { type: "unknown", number, length };
  return more.length > 0 ? { type: "concatenation", fields: [type, ...more], length } : { type, length };
}

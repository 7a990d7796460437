import { ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { NftElement, NftSetName } from "../../objects/nft.ts";
import { bytesOfData, type NftData } from "../../objects/nft-data.ts";
import type { NftExpression, NftVerdict } from "../../objects/nft-expression.ts";
import { type AttributeReader, AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import { type NetlinkRequest, NLM_F_CREATE } from "../netlink/message.ts";
import { data, NFTA_DATA_VALUE, NFTA_LIST_ELEM, safe64 } from "./codec.ts";
import { readExpression, readExpressions } from "./expression.ts";
import { attributesOf } from "./header.ts";
import { nftRequest } from "./message.ts";
import { decodeUserData, encodeUserData, objectUserData } from "./userdata.ts";
import { verdict } from "./verdict.ts";

/** enum nft_set_elem_list_attributes. */
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
/** enum nft_set_elem_attributes. */
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_TIMEOUT = 4;
const NFTA_SET_ELEM_EXPIRATION = 5;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_SET_ELEM_EXPR = 7;
const NFTA_SET_ELEM_OBJREF = 9;
const NFTA_SET_ELEM_KEY_END = 10;
const NFTA_SET_ELEM_EXPRESSIONS = 11;
/** enum nft_set_elem_flags. */
const NFT_SET_ELEM_INTERVAL_END = 1;
const NFT_SET_ELEM_CATCHALL = 2;

/** An attribute's length is a u16, and the list of elements is one attribute: this much of it, then the next message. */
const listLimit = 60_000;

/** Adds elements, in as many messages as they need. One that exists with the same data is left alone; with other data it is EEXIST. */
export const newElements = (set: NftSetName, elements: readonly NftElement[]): NetlinkRequest[] =>
  split("NEWSETELEM", NLM_F_CREATE, set, elements);

/** Removes elements; ENOENT when one is not there. */
export const deleteElements = (set: NftSetName, elements: readonly NftElement[]): NetlinkRequest[] =>
  split("DELSETELEM", 0, set, elements);

/** Removes all elements. */
export const flushElements = (set: NftSetName): NetlinkRequest =>
  nftRequest("DELSETELEM", set.family, 0, (attributes) =>
    attributes.string(NFTA_SET_ELEM_LIST_TABLE, set.table).string(NFTA_SET_ELEM_LIST_SET, set.set),
  );

export const getElements = (set: NftSetName): NetlinkRequest =>
  nftRequest("GETSETELEM", set.family, 0, (attributes) =>
    attributes.string(NFTA_SET_ELEM_LIST_TABLE, set.table).string(NFTA_SET_ELEM_LIST_SET, set.set),
  );

function split(
  message: "NEWSETELEM" | "DELSETELEM",
  flags: number,
  set: NftSetName,
  elements: readonly NftElement[],
): NetlinkRequest[] {
  const messages: NetlinkRequest[] = [];
  const list = new AttributeWriter(new ByteWriter(Math.min(listLimit + 1024, 128 * (elements.length + 1))));
  const flush = (): void => {
    messages.push(
      nftRequest(message, set.family, flags, (attributes) =>
        attributes
          .string(NFTA_SET_ELEM_LIST_TABLE, set.table)
          .string(NFTA_SET_ELEM_LIST_SET, set.set)
          .raw(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, list.bytes.view()),
      ),
    );
    list.bytes.reset();
  };
  for (const element of elements) {
    list.nested(NFTA_LIST_ELEM | NLA_F_NESTED, () => writeElement(list, element));
    if (list.bytes.length > listLimit) flush();
  }
  if (list.bytes.length > 0) flush();
  return messages;
}

function writeElement(attributes: AttributeWriter, element: NftElement): void {
  const flags =
    (element.intervalEnd === true ? NFT_SET_ELEM_INTERVAL_END : 0) | (element.key === "" ? NFT_SET_ELEM_CATCHALL : 0);
  if (flags !== 0) attributes.u32be(NFTA_SET_ELEM_FLAGS, flags);
  if (element.key !== "") writeValue(attributes, NFTA_SET_ELEM_KEY, element.key);
  if (element.keyEnd !== undefined) writeValue(attributes, NFTA_SET_ELEM_KEY_END, element.keyEnd);
  if (typeof element.data === "string") writeValue(attributes, NFTA_SET_ELEM_DATA, element.data);
  else if (element.data !== undefined) verdict.write(attributes, NFTA_SET_ELEM_DATA, element.data);
  if (element.timeout !== undefined) attributes.u64be(NFTA_SET_ELEM_TIMEOUT, BigInt(element.timeout));
  if (element.object !== undefined) attributes.string(NFTA_SET_ELEM_OBJREF, element.object);
  if (element.comment !== undefined) {
    const userData = encodeUserData(objectUserData, { comment: element.comment });
    if (userData !== undefined) attributes.raw(NFTA_SET_ELEM_USERDATA, userData);
  }
}

/** As `data.write`, without a closure: this runs a hundred thousand times in a row. */
function writeValue(attributes: AttributeWriter, attribute: number, value: NftData): void {
  const bytes = bytesOfData(value);
  const padded = (bytes.length + 3) & ~3;
  attributes.bytes
    .u16(8 + padded)
    .u16(attribute | NLA_F_NESTED)
    .u16(4 + bytes.length)
    .u16(NFTA_DATA_VALUE)
    .raw(bytes)
    .zero(padded - bytes.length);
}

/** The elements of one NFT_MSG_NEWSETELEM; a dump has many. @throws TwillError `corrupt`. */
export function decodeElements(payload: Uint8Array): { readonly set: string; readonly elements: NftElement[] } {
  const attributes = attributesOf(payload);
  let set: string | undefined;
  const elements: NftElement[] = [];
  while (attributes.next()) {
    if (attributes.type === NFTA_SET_ELEM_LIST_SET) set = attributes.string();
    else if (attributes.type === NFTA_SET_ELEM_LIST_ELEMENTS) {
      for (const element of readElements(attributes.nested())) elements.push(element);
    }
  }
  if (set === undefined) throw new TwillError("corrupt", "a list of nf_tables elements names no set");
  return { set, elements };
}

/** The inside of NFTA_SET_ELEM_LIST_ELEMENTS. */
export function readElements(list: AttributeReader): NftElement[] {
  const elements: NftElement[] = [];
  while (list.next()) if (list.type === NFTA_LIST_ELEM) elements.push(readElement(list.nested()));
  return elements;
}

function readElement(attributes: AttributeReader): NftElement {
  let key: NftData | "" | undefined;
  const found: { -readonly [K in keyof NftElement]?: NftElement[K] } = {};
  while (attributes.next()) {
    switch (attributes.type) {
      case NFTA_SET_ELEM_KEY:
        key = data.read(attributes);
        break;
      case NFTA_SET_ELEM_KEY_END: {
        const end = data.read(attributes);
        if (end !== undefined) found.keyEnd = end;
        break;
      }
      case NFTA_SET_ELEM_DATA: {
        const value: NftData | NftVerdict | undefined = data.read(attributes) ?? verdict.read(attributes);
        if (value !== undefined) found.data = value;
        break;
      }
      case NFTA_SET_ELEM_FLAGS: {
        const flags = attributes.u32be();
        if ((flags & NFT_SET_ELEM_INTERVAL_END) !== 0) found.intervalEnd = true;
        if ((flags & NFT_SET_ELEM_CATCHALL) !== 0) key = "";
        break;
      }
      case NFTA_SET_ELEM_TIMEOUT: {
        const timeout = safe64.read(attributes);
        if (timeout !== undefined) found.timeout = timeout;
        break;
      }
      case NFTA_SET_ELEM_EXPIRATION: {
        const expires = safe64.read(attributes);
        if (expires !== undefined) found.expires = expires;
        break;
      }
      case NFTA_SET_ELEM_USERDATA: {
        const { comment } = decodeUserData(objectUserData, attributes.bytes());
        if (comment !== undefined) found.comment = comment;
        break;
      }
      case NFTA_SET_ELEM_OBJREF:
        found.object = attributes.string();
        break;
      case NFTA_SET_ELEM_EXPR:
        addCounter(found, readExpression(attributes.nested()));
        break;
      case NFTA_SET_ELEM_EXPRESSIONS:
        for (const expression of readExpressions(attributes.nested())) addCounter(found, expression);
        break;
    }
  }
  if (key === undefined) throw new TwillError("corrupt", "an nf_tables element has no key");
  return { key, ...found };
}

function addCounter(found: { packets?: bigint; bytes?: bigint }, expression: NftExpression): void {
  if (expression.type !== "counter") return;
  found.packets = expression.packets ?? 0n;
  found.bytes = expression.bytes ?? 0n;
}

import { ByteReader } from "../../base/bytes.ts";
import type { NftElement } from "../../objects/nft.ts";
import type { NftExpression } from "../../objects/nft-expression.ts";
import { AttributeReader } from "../netlink/attributes.ts";
import { type MessageFormat, registerFormats } from "../netlink/describe.ts";
import type { AttributeTable, ValueFormat } from "../netlink/describe-attributes.ts";
import { readElements } from "./element.ts";
import { readExpression, readExpressions } from "./expression.ts";
import {
  familyOfProtocol,
  NF_HEADER_LENGTH,
  NFNL_SUBSYS_CTNETLINK,
  NFNL_SUBSYS_NFTABLES,
  readHeader,
} from "./header.ts";
import { messageNames, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END } from "./message.ts";
import { decodeUserData, objectUserData, setUserData } from "./userdata.ts";

/** "payload base network offset 12 length 4 to 0". */
function expressionInWords({ type, ...fields }: NftExpression): string {
  const words = Object.entries(fields).map(([name, value]) => `${name} ${plain(value)}`);
  return [type, ...words].join(" ");
}

function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join("+");
  if (typeof value !== "object" || value === null) return String(value);
  return Object.values(value).map(plain).join(" ");
}

const elementInWords = ({ key, keyEnd, intervalEnd, data }: NftElement): string =>
  [
    key === "" ? "*" : key,
    keyEnd === undefined ? "" : `-${keyEnd}`,
    intervalEnd === true ? " (end)" : "",
    data === undefined ? "" : ` : ${plain(data)}`,
  ].join("");

/** Of a big load a trace shows the first few. */
const shownElements = 4;

const expression: ValueFormat = (bytes) => expressionInWords(readExpression(new AttributeReader(bytes)));
const expressions: ValueFormat = (bytes) =>
  `[${readExpressions(new AttributeReader(bytes)).map(expressionInWords).join(", ")}]`;
const elements: ValueFormat = (bytes) => {
  const all = readElements(new AttributeReader(bytes));
  const more = all.length > shownElements ? `, … (${all.length} elements)` : "";
  return `{${all.slice(0, shownElements).map(elementInWords).join(", ")}${more}}`;
};
const comment =
  (layout: typeof objectUserData): ValueFormat =>
  (bytes) =>
    JSON.stringify(decodeUserData(layout, bytes).comment ?? "");

const signed: ValueFormat = (bytes) => String(new ByteReader(bytes).u32be() | 0);

/** Attribute numbers: the enums of linux/netfilter/nf_tables.h. */
const table: AttributeTable = {
  1: ["table", "string"],
  2: ["flags", "u32be"],
  3: ["use", "u32be"],
  4: ["handle", "u64be"],
  6: ["comment", comment(objectUserData)],
  7: ["owner", "u32be"],
};
const chain: AttributeTable = {
  1: ["table", "string"],
  2: ["handle", "u64be"],
  3: ["chain", "string"],
  4: ["hook", { 1: ["number", "u32be"], 2: ["priority", signed], 3: ["device", "string"] }],
  5: ["policy", "u32be"],
  6: ["use", "u32be"],
  7: ["type", "string"],
  8: ["counters", "hex"],
  10: ["flags", "u32be"],
  12: ["comment", comment(objectUserData)],
};
const rule: AttributeTable = {
  1: ["table", "string"],
  2: ["chain", "string"],
  3: ["handle", "u64be"],
  4: ["expressions", expressions],
  6: ["position", "u64be"],
  7: ["comment", comment(objectUserData)],
};
const set: AttributeTable = {
  1: ["table", "string"],
  2: ["set", "string"],
  3: ["flags", "u32be"],
  4: ["key-type", "u32be"],
  5: ["key-length", "u32be"],
  6: ["data-type", "u32be"],
  7: ["data-length", "u32be"],
  8: ["policy", "u32be"],
  9: ["description", { 1: ["size", "u32be"], 2: ["fields", "hex"] }],
  10: ["id", "u32be"],
  11: ["timeout", "u64be"],
  13: ["comment", comment(setUserData)],
  15: ["object", "u32be"],
  16: ["handle", "u64be"],
  17: ["expression", expression],
};
const element: AttributeTable = {
  1: ["table", "string"],
  2: ["set", "string"],
  3: ["elements", elements],
};
const generation: AttributeTable = { 1: ["generation", "u32be"], 2: ["process", "u32be"], 3: ["name", "string"] };
const batch: AttributeTable = { 1: ["generation", "u32be"] };

const tables: Readonly<Record<string, AttributeTable>> = {
  TABLE: table,
  CHAIN: chain,
  RULE: rule,
  SET: set,
  SETELEM: element,
  GEN: generation,
};

/** enum ctattr_type and below. */
const tuple: AttributeTable = {
  1: ["addresses", { 1: ["from", "address"], 2: ["to", "address"], 3: ["from", "address"], 4: ["to", "address"] }],
  2: [
    "protocol",
    {
      1: ["number", "u8"],
      2: ["from", "u16be"],
      3: ["to", "u16be"],
      4: ["id", "u16be"],
      5: ["type", "u8"],
      6: ["code", "u8"],
      7: ["id", "u16be"],
      8: ["type", "u8"],
      9: ["code", "u8"],
    },
  ],
};
const counters: AttributeTable = { 1: ["packets", "u64be"], 2: ["bytes", "u64be"] };
const connection: AttributeTable = {
  1: ["original", tuple],
  2: ["reply", tuple],
  3: ["status", "u32be"],
  4: ["state", "hex"],
  7: ["timeout", "u32be"],
  8: ["mark", "u32be"],
  9: ["sent", counters],
  10: ["received", counters],
  11: ["use", "skip"],
  12: ["id", "u32be"],
  18: ["zone", "u16be"],
  20: ["timestamp", { 1: ["start", "u64be"], 2: ["stop", "u64be"] }],
  21: ["mask", "u32be"],
  22: ["labels", "hex"],
};

const NETLINK_NETFILTER = 12;

const familyInWords = (header: Uint8Array): string => {
  const { protocol } = readHeader(header);
  return protocol === 0 ? "" : familyOfProtocol(protocol);
};
const inetFamilyInWords = (header: Uint8Array): string =>
  ({ 2: "ipv4", 10: "ipv6" })[readHeader(header).protocol] ?? "";

/** Makes describeDatagram read nf_tables and conntrack. */
export function registerNetfilterFormats(): void {
  const byType = new Map<number, MessageFormat>();
  const add = (type: number, format: Omit<MessageFormat, "headerLength">): void => {
    byType.set(type, { headerLength: NF_HEADER_LENGTH, ...format });
  };
  add(NFNL_MSG_BATCH_BEGIN, { name: "NFNL_MSG_BATCH_BEGIN", header: () => "nf_tables", attributes: batch });
  add(NFNL_MSG_BATCH_END, { name: "NFNL_MSG_BATCH_END", header: () => "nf_tables", attributes: batch });
  for (const [number, name] of messageNames.entries()) {
    const attributes = tables[name.replace(/^(NEW|GET|DEL|DESTROY)/, "").replace(/_RESET$/, "")] ?? {};
    const type = NFNL_SUBSYS_NFTABLES * 256 + number;
    add(type, { name: `NFT_MSG_${name}`, reads: name.startsWith("GET"), header: familyInWords, attributes });
  }
  for (const [number, name] of ["NEW", "GET", "DELETE"].entries()) {
    const type = NFNL_SUBSYS_CTNETLINK * 256 + number;
    add(type, {
      name: `IPCTNL_MSG_CT_${name}`,
      reads: name === "GET",
      header: inetFamilyInWords,
      attributes: connection,
    });
  }
  registerFormats(NETLINK_NETFILTER, "netfilter", byType);
}

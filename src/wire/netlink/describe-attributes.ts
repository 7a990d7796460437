import { addressFromBytes } from "../../base/address.ts";
import { hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { macFromBytes } from "../../base/mac.ts";
import { AttributeReader } from "./attributes.ts";

/** How a value reads. A function gets the value's bytes and may throw TwillError. */
export type ValueFormat =
  | "flag"
  | "u8"
  | "u16"
  | "u16be"
  | "u32"
  | "u32be"
  | "i32"
  | "u64"
  | "u64be"
  | "hex"
  | "string"
  | "mac"
  | "address"
  /** Not worth a line in a trace: left out. */
  | "skip"
  | AttributeTable
  | ((value: Uint8Array) => string);

/** By type: name and value. */
export interface AttributeTable {
  readonly [type: number]: readonly [name: string, value: ValueFormat];
}

/** Longer values are cut in a trace. */
const longestHex = 32;

/** "ifname eth0, mtu 1500, linkinfo {kind veth}". Types without a name appear by number, in hex. Never throws. */
export function describeAttributes(bytes: Uint8Array, offset: number, table: AttributeTable): string {
  const parts: string[] = [];
  try {
    const attributes = new AttributeReader(bytes, offset);
    while (attributes.next()) {
      const [name, format] = table[attributes.type] ?? [`#${attributes.type}`, "hex"];
      if (format === "skip") continue;
      const value = describeValue(attributes, format);
      parts.push(value === "" ? name : `${name} ${value}`);
    }
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    parts.push(`(${error.message})`);
  }
  return parts.join(", ");
}

function describeValue(attributes: AttributeReader, format: ValueFormat): string {
  try {
    if (typeof format === "function") return format(attributes.bytes());
    if (typeof format === "object") return `{${describeAttributes(attributes.bytes(), 0, format)}}`;
    return describePlain(attributes, format);
  } catch (error) {
    // A value of another size than expected is shown as it is.
    if (!(error instanceof TwillError)) throw error;
    return shortHex(attributes.bytes());
  }
}

function describePlain(attributes: AttributeReader, format: Exclude<ValueFormat, object>): string {
  switch (format) {
    case "flag":
    case "skip":
      return "";
    case "hex":
      return shortHex(attributes.bytes());
    case "string":
      return JSON.stringify(attributes.string());
    case "mac":
      return macFromBytes(attributes.bytes());
    case "address":
      return addressFromBytes(attributes.bytes());
    default:
      return String(attributes[format]());
  }
}

const shortHex = (bytes: Uint8Array): string =>
  bytes.length <= longestHex ? hex(bytes) : `${hex(bytes.subarray(0, longestHex))}… (${bytes.length} bytes)`;

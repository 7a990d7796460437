import { type Address, bytesOf, type Family, unspecified } from "../../base/address.ts";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { baseOf, lengthOf, type Prefix, prefixOf } from "../../base/prefix.ts";
import type { Rule } from "../../objects/route.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { addressOf, familyFromNumber, familyNumber } from "./family.ts";

/** Policy routing rules: struct fib_rule_hdr (12 bytes) and FRA_*, include/uapi/linux/fib_rules.h. */
const HEADER = 12;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;
const FIB_RULE_INVERT = 2;
const RT_TABLE_COMPAT = 252;

/** FR_ACT_*; 0 stands for those that Twill does not know (goto, nop). */
const actionNumbers: Readonly<Record<Rule["action"], number>> = {
  lookup: 1,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  other: 0,
};

/** RTM_GETRULE with NLM_F_DUMP. */
export const encodeRuleQuery = (family: Family): Uint8Array =>
  new ByteWriter(HEADER)
    .u8(familyNumber(family))
    .zero(HEADER - 1)
    .bytes();

/** RTM_NEWRULE and RTM_DELRULE. */
export function encodeRule(rule: Rule): Uint8Array {
  const attributes = new AttributeWriter(
    new ByteWriter(128)
      .u8(familyNumber(rule.family))
      .u8(rule.destination === undefined ? 0 : lengthOf(rule.destination))
      .u8(rule.source === undefined ? 0 : lengthOf(rule.source))
      .u8(0) // TOS
      .u8(rule.table < 256 ? rule.table : RT_TABLE_COMPAT)
      .zero(2)
      .u8(actionNumbers[rule.action])
      .u32(rule.invert === true ? FIB_RULE_INVERT : 0),
  );
  attributes.u32(FRA_PRIORITY, rule.priority).u32(FRA_TABLE, rule.table);
  if (rule.destination !== undefined) attributes.raw(FRA_DST, bytesOf(baseOf(rule.destination)));
  if (rule.source !== undefined) attributes.raw(FRA_SRC, bytesOf(baseOf(rule.source)));
  if (rule.mark !== undefined) attributes.u32(FRA_FWMARK, rule.mark);
  if (rule.mask !== undefined) attributes.u32(FRA_FWMASK, rule.mask);
  if (rule.inputDevice !== undefined) attributes.string(FRA_IIFNAME, rule.inputDevice);
  if (rule.outputDevice !== undefined) attributes.string(FRA_OIFNAME, rule.outputDevice);
  if (rule.protocol !== undefined) attributes.u8(FRA_PROTOCOL, rule.protocol);
  return attributes.finish();
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** @throws TwillError `corrupt`, also for a family that is neither IPv4 nor IPv6. */
export function decodeRule(payload: Uint8Array): Rule {
  const reader = new ByteReader(payload);
  const family = familyFromNumber(reader.u8());
  const destinationLength = reader.u8();
  const sourceLength = reader.u8();
  reader.skip(1);
  const table = reader.u8();
  reader.skip(2);
  const actionNumber = reader.u8();
  const flags = reader.u32();
  let action: Rule["action"] = "other";
  for (const [name, number] of Object.entries(actionNumbers)) {
    if (number === actionNumber) action = name as Rule["action"];
  }
  let destination: Address | undefined;
  let source: Address | undefined;
  const rule: Writable<Rule> = { family, priority: 0, table, action };
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    switch (attributes.type) {
      case FRA_DST:
        destination = addressOf(family, attributes.bytes());
        break;
      case FRA_SRC:
        source = addressOf(family, attributes.bytes());
        break;
      case FRA_IIFNAME:
        rule.inputDevice = attributes.string();
        break;
      case FRA_OIFNAME:
        rule.outputDevice = attributes.string();
        break;
      case FRA_PRIORITY:
        rule.priority = attributes.u32();
        break;
      case FRA_TABLE:
        rule.table = attributes.u32();
        break;
      case FRA_FWMARK:
        rule.mark = attributes.u32();
        break;
      case FRA_FWMASK:
        rule.mask = attributes.u32();
        break;
      case FRA_PROTOCOL:
        rule.protocol = attributes.u8();
        break;
    }
  }
  if ((flags & FIB_RULE_INVERT) !== 0) rule.invert = true;
  if (destination !== undefined || destinationLength > 0) {
    rule.destination = prefix(destination ?? unspecified(family), destinationLength, family);
  }
  if (source !== undefined || sourceLength > 0) {
    rule.source = prefix(source ?? unspecified(family), sourceLength, family);
  }
  return rule;
}

function prefix(address: Address, length: number, family: Family): Prefix {
  if (length > (family === 4 ? 32 : 128)) throw new TwillError("corrupt", `a rule with a prefix length of ${length}`);
  return prefixOf(address, length);
}

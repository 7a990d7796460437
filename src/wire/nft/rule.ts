import { TwillError } from "../../base/errors.ts";
import type { NftFamily, NftRule } from "../../objects/nft.ts";
import { NLA_F_NESTED } from "../netlink/attributes.ts";
import { type NetlinkRequest, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE } from "../netlink/message.ts";
import { safe64 } from "./codec.ts";
import { readExpressions, writeExpressions } from "./expression.ts";
import { attributesOf, familyOfProtocol, readHeader } from "./header.ts";
import { nftRequest } from "./message.ts";
import { decodeUserData, encodeUserData, objectUserData } from "./userdata.ts";

/** enum nft_rule_attributes. */
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_RULE_POSITION = 6;
const NFTA_RULE_USERDATA = 7;

/** Where a new rule goes: to the end, or next to the rule with that handle, or into its place. */
export type RulePlace =
  | { readonly at: "end" }
  | { readonly at: "start" }
  | { readonly at: "before" | "after" | "instead"; readonly handle: number };

export function newRule(rule: NftRule, place: RulePlace): NetlinkRequest {
  // POSITION with APPEND means behind that rule, without it before; without a position the same for the whole chain.
  const behind = place.at === "end" || place.at === "after" ? NLM_F_APPEND : 0;
  const flags = place.at === "instead" ? NLM_F_REPLACE : NLM_F_CREATE | behind;
  return nftRequest("NEWRULE", rule.family, flags, (attributes) => {
    attributes.string(NFTA_RULE_TABLE, rule.table).string(NFTA_RULE_CHAIN, rule.chain);
    if (place.at === "instead") attributes.u64be(NFTA_RULE_HANDLE, BigInt(place.handle));
    attributes.nested(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, () => writeExpressions(attributes, rule.expressions));
    if (place.at === "before" || place.at === "after") attributes.u64be(NFTA_RULE_POSITION, BigInt(place.handle));
    const userData = encodeUserData(objectUserData, {
      ...(rule.comment === undefined ? {} : { comment: rule.comment }),
      ...(rule.key === undefined ? {} : { key: rule.key }),
    });
    if (userData !== undefined) attributes.raw(NFTA_RULE_USERDATA, userData);
  });
}

/** Without a handle: all rules of the chain. */
export const deleteRule = (family: NftFamily, table: string, chain: string, handle?: number): NetlinkRequest =>
  nftRequest("DELRULE", family, 0, (attributes) => {
    attributes.string(NFTA_RULE_TABLE, table).string(NFTA_RULE_CHAIN, chain);
    if (handle !== undefined) attributes.u64be(NFTA_RULE_HANDLE, BigInt(handle));
  });

/** The kernel filters by table and chain (4.0). Rules come in their order within a chain. */
export const getRules = (family?: NftFamily, table?: string, chain?: string): NetlinkRequest =>
  nftRequest("GETRULE", family, 0, (attributes) => {
    if (table !== undefined) attributes.string(NFTA_RULE_TABLE, table);
    if (chain !== undefined) attributes.string(NFTA_RULE_CHAIN, chain);
  });

/** NFT_MSG_NEWRULE. @throws TwillError `corrupt`. */
export function decodeRule(payload: Uint8Array): NftRule {
  const family = familyOfProtocol(readHeader(payload).protocol);
  const attributes = attributesOf(payload);
  let table: string | undefined;
  let chain: string | undefined;
  let handle: number | undefined;
  let expressions: NftRule["expressions"] = [];
  let userData: { comment?: string; key?: string } = {};
  while (attributes.next()) {
    if (attributes.type === NFTA_RULE_TABLE) table = attributes.string();
    else if (attributes.type === NFTA_RULE_CHAIN) chain = attributes.string();
    else if (attributes.type === NFTA_RULE_HANDLE) handle = safe64.read(attributes);
    else if (attributes.type === NFTA_RULE_EXPRESSIONS) expressions = readExpressions(attributes.nested());
    else if (attributes.type === NFTA_RULE_USERDATA) userData = decodeUserData(objectUserData, attributes.bytes());
  }
  if (table === undefined || chain === undefined) throw new TwillError("corrupt", "an nf_tables rule has no chain");
  return { family, table, chain, expressions, ...userData, ...(handle === undefined ? {} : { handle }) };
}

import { ByteWriter } from "../../base/bytes.ts";
import type { NftFamily } from "../../objects/nft.ts";
import { AttributeWriter } from "../netlink/attributes.ts";
import type { NetlinkRequest } from "../netlink/message.ts";
import { attributesOf, NFNL_SUBSYS_NFTABLES, nfRequest, protocolOf } from "./header.ts";

/** enum nf_tables_msg_types, in its order. */
export const messageNames = [
  "NEWTABLE",
  "GETTABLE",
  "DELTABLE",
  "NEWCHAIN",
  "GETCHAIN",
  "DELCHAIN",
  "NEWRULE",
  "GETRULE",
  "DELRULE",
  "NEWSET",
  "GETSET",
  "DELSET",
  "NEWSETELEM",
  "GETSETELEM",
  "DELSETELEM",
  "NEWGEN",
  "GETGEN",
  "TRACE",
  "NEWOBJ",
  "GETOBJ",
  "DELOBJ",
  "GETOBJ_RESET",
  "NEWFLOWTABLE",
  "GETFLOWTABLE",
  "DELFLOWTABLE",
  "GETRULE_RESET", // 6.3 and later, with the rest
  "DESTROYTABLE",
  "DESTROYCHAIN",
  "DESTROYRULE",
  "DESTROYSET",
  "DESTROYSETELEM",
  "DESTROYOBJ",
  "DESTROYFLOWTABLE",
  "GETSETELEM_RESET",
] as const;
export type NftMessageName = (typeof messageNames)[number];

export const nftRequest = (
  message: NftMessageName,
  family: NftFamily | undefined,
  flags: number,
  write?: (attributes: AttributeWriter) => void,
): NetlinkRequest =>
  nfRequest(
    NFNL_SUBSYS_NFTABLES,
    messageNames.indexOf(message),
    family === undefined ? 0 : protocolOf(family),
    flags,
    write,
  );

/** linux/netfilter/nfnetlink.h: NLMSG_MIN_TYPE and the next. */
export const NFNL_MSG_BATCH_BEGIN = 16;
export const NFNL_MSG_BATCH_END = 17;
const NFNL_BATCH_GENID = 1;

/**
 * Opens a transaction. A batch without its end is dropped, and not even answered.
 * @param generation the ruleset must still be of this generation, else ERESTART (kernel 4.12).
 */
export const batchBegin = (generation?: number): NetlinkRequest =>
  batch(NFNL_MSG_BATCH_BEGIN, 0, (attributes) => {
    if (generation !== undefined) attributes.u32be(NFNL_BATCH_GENID, generation);
  });
export const batchEnd = (flags: number): NetlinkRequest => batch(NFNL_MSG_BATCH_END, flags, () => {});

function batch(type: number, flags: number, write: (attributes: AttributeWriter) => void): NetlinkRequest {
  // Family AF_UNSPEC; the resource id says which subsystem's batch it is.
  const attributes = new AttributeWriter(new ByteWriter(16).u8(0).u8(0).u16be(NFNL_SUBSYS_NFTABLES));
  write(attributes);
  return { type, flags, payload: attributes.finish() };
}

export const getGeneration = (): NetlinkRequest => nftRequest("GETGEN", undefined, 0);

/** NFTA_GEN_ID of NFT_MSG_NEWGEN: counts the transactions of the network namespace, whoever made them. */
export function decodeGeneration(payload: Uint8Array): number | undefined {
  const attributes = attributesOf(payload);
  let generation: number | undefined;
  while (attributes.next()) if (attributes.type === 1) generation = attributes.u32be();
  return generation;
}

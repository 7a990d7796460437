import { TwillError } from "../../base/errors.ts";
import type { NftFamily, NftTable } from "../../objects/nft.ts";
import { type NetlinkRequest, NLM_F_CREATE } from "../netlink/message.ts";
import { safe64 } from "./codec.ts";
import { attributesOf, familyOfProtocol, readHeader } from "./header.ts";
import { nftRequest } from "./message.ts";
import { decodeUserData, encodeUserData, objectUserData } from "./userdata.ts";

/** enum nft_table_attributes. */
const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_TABLE_HANDLE = 4;
const NFTA_TABLE_USERDATA = 6;
const NFTA_TABLE_OWNER = 7;

/** enum nft_table_flags; the last since kernel 6.9, where an older one answers EOPNOTSUPP (or EINVAL). */
const NFT_TABLE_F_DORMANT = 1;
const NFT_TABLE_F_OWNER = 2;
const NFT_TABLE_F_PERSIST = 4;

/** Creates the table; of one that exists changes the flags, which takes a table over whose owner has gone. */
export const newTable = (table: NftTable): NetlinkRequest =>
  nftRequest("NEWTABLE", table.family, NLM_F_CREATE, (attributes) => {
    attributes.string(NFTA_TABLE_NAME, table.name).u32be(NFTA_TABLE_FLAGS, flagsOf(table));
    const userData = encodeUserData(objectUserData, table.comment === undefined ? {} : { comment: table.comment });
    if (userData !== undefined) attributes.raw(NFTA_TABLE_USERDATA, userData);
  });

/** With everything in it. ENOENT when there is none. */
export const deleteTable = (family: NftFamily, name: string): NetlinkRequest =>
  nftRequest("DELTABLE", family, 0, (attributes) => attributes.string(NFTA_TABLE_NAME, name));

export const getTables = (family?: NftFamily): NetlinkRequest => nftRequest("GETTABLE", family, 0);

const flagsOf = (table: NftTable): number =>
  (table.dormant === true ? NFT_TABLE_F_DORMANT : 0) |
  (table.owner === true ? NFT_TABLE_F_OWNER : 0) |
  (table.persist === true ? NFT_TABLE_F_PERSIST : 0);

/** NFT_MSG_NEWTABLE. @throws TwillError `corrupt`. */
export function decodeTable(payload: Uint8Array): NftTable {
  const family = familyOfProtocol(readHeader(payload).protocol);
  const attributes = attributesOf(payload);
  let name: string | undefined;
  const found: { -readonly [K in keyof NftTable]?: NftTable[K] } = {};
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE_NAME) name = attributes.string();
    else if (attributes.type === NFTA_TABLE_FLAGS) {
      const flags = attributes.u32be();
      if ((flags & NFT_TABLE_F_DORMANT) !== 0) found.dormant = true;
      if ((flags & NFT_TABLE_F_OWNER) !== 0) found.owner = true;
      if ((flags & NFT_TABLE_F_PERSIST) !== 0) found.persist = true;
    } else if (attributes.type === NFTA_TABLE_HANDLE) {
      const handle = safe64.read(attributes);
      if (handle !== undefined) found.handle = handle;
    } else if (attributes.type === NFTA_TABLE_OWNER) found.ownerPort = attributes.u32be();
    else if (attributes.type === NFTA_TABLE_USERDATA) {
      const { comment } = decodeUserData(objectUserData, attributes.bytes());
      if (comment !== undefined) found.comment = comment;
    }
  }
  if (name === undefined) throw new TwillError("corrupt", "an nf_tables table has no name");
  return { family, name, ...found };
}

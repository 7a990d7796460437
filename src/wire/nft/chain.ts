import { TwillError } from "../../base/errors.ts";
import type { NftBase, NftChain, NftChainType, NftFamily, NftHook } from "../../objects/nft.ts";
import { type AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import { type NetlinkRequest, NLM_F_CREATE } from "../netlink/message.ts";
import { safe64 } from "./codec.ts";
import { attributesOf, familyOfProtocol, readHeader } from "./header.ts";
import { nftRequest } from "./message.ts";
import { decodeUserData, encodeUserData, objectUserData } from "./userdata.ts";

/** enum nft_chain_attributes. */
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_HANDLE = 2;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_CHAIN_USERDATA = 12;
/** enum nft_hook_attributes, nft_devices_attributes. */
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_HOOK_DEV = 3;
const NFTA_HOOK_DEVS = 4;
const NFTA_DEVICE_NAME = 1;

/** enum nf_inet_hooks, nf_dev_hooks, and linux/netfilter_arp.h. */
const inetHooks: readonly NftHook[] = ["prerouting", "input", "forward", "output", "postrouting", "ingress"];
const hooks: Readonly<Record<NftFamily, readonly NftHook[]>> = {
  inet: inetHooks,
  ip: inetHooks,
  ip6: inetHooks,
  bridge: inetHooks,
  arp: ["input", "output", "forward"],
  netdev: ["ingress", "egress"],
};

/** Creates the chain; of a base chain that exists changes the policy. */
export const newChain = (chain: NftChain): NetlinkRequest =>
  nftRequest("NEWCHAIN", chain.family, NLM_F_CREATE, (attributes) => {
    attributes.string(NFTA_CHAIN_TABLE, chain.table).string(NFTA_CHAIN_NAME, chain.name);
    if (chain.base !== undefined) writeBase(attributes, chain.family, chain.base);
    const userData = encodeUserData(objectUserData, chain.comment === undefined ? {} : { comment: chain.comment });
    if (userData !== undefined) attributes.raw(NFTA_CHAIN_USERDATA, userData);
  });

function writeBase(attributes: AttributeWriter, family: NftFamily, base: NftBase): void {
  const hook = hooks[family].indexOf(base.hook);
  if (hook < 0) throw new TwillError("invalid", `family ${family} has no hook ${base.hook}`);
  attributes.nested(NFTA_CHAIN_HOOK | NLA_F_NESTED, () => {
    attributes.u32be(NFTA_HOOK_HOOKNUM, hook).u32be(NFTA_HOOK_PRIORITY, base.priority >>> 0);
    const [first, ...more] = base.devices ?? [];
    if (first !== undefined && more.length === 0) attributes.string(NFTA_HOOK_DEV, first);
    else if (first !== undefined) {
      attributes.nested(NFTA_HOOK_DEVS | NLA_F_NESTED, () => {
        for (const device of [first, ...more]) attributes.string(NFTA_DEVICE_NAME, device);
      });
    }
  });
  attributes.u32be(NFTA_CHAIN_POLICY, base.policy === "accept" ? 1 : 0).string(NFTA_CHAIN_TYPE, base.type);
}

/** With its rules. EBUSY while a rule or a verdict map jumps to it. */
export const deleteChain = (family: NftFamily, table: string, name: string): NetlinkRequest =>
  nftRequest("DELCHAIN", family, 0, (attributes) =>
    attributes.string(NFTA_CHAIN_TABLE, table).string(NFTA_CHAIN_NAME, name),
  );

/** The kernel dumps the chains of all tables of the family: filter afterwards. */
export const getChains = (family?: NftFamily): NetlinkRequest => nftRequest("GETCHAIN", family, 0);

/** NFT_MSG_NEWCHAIN. @throws TwillError `corrupt`. */
export function decodeChain(payload: Uint8Array): NftChain {
  const family = familyOfProtocol(readHeader(payload).protocol);
  const attributes = attributesOf(payload);
  let table: string | undefined;
  let name: string | undefined;
  let handle: number | undefined;
  let comment: string | undefined;
  let hook: Hook | undefined;
  let policy: NftBase["policy"] = "accept";
  let type: NftChainType = "filter";
  while (attributes.next()) {
    if (attributes.type === NFTA_CHAIN_TABLE) table = attributes.string();
    else if (attributes.type === NFTA_CHAIN_NAME) name = attributes.string();
    else if (attributes.type === NFTA_CHAIN_HANDLE) handle = safe64.read(attributes);
    else if (attributes.type === NFTA_CHAIN_HOOK) hook = readHook(family, attributes.nested());
    else if (attributes.type === NFTA_CHAIN_POLICY) policy = attributes.u32be() === 0 ? "drop" : "accept";
    else if (attributes.type === NFTA_CHAIN_TYPE) type = chainType(attributes.string());
    else if (attributes.type === NFTA_CHAIN_USERDATA) {
      comment = decodeUserData(objectUserData, attributes.bytes()).comment;
    }
  }
  if (table === undefined || name === undefined) throw new TwillError("corrupt", "an nf_tables chain has no name");
  return {
    family,
    table,
    name,
    ...(hook === undefined ? {} : { base: { type, policy, ...hook } }),
    ...(comment === undefined ? {} : { comment }),
    ...(handle === undefined ? {} : { handle }),
  };
}

type Hook = Pick<NftBase, "hook" | "priority" | "devices">;

function readHook(family: NftFamily, attributes: AttributeReader): Hook {
  let hook: NftHook | undefined;
  let priority = 0;
  const devices: string[] = [];
  while (attributes.next()) {
    if (attributes.type === NFTA_HOOK_HOOKNUM) hook = hooks[family][attributes.u32be()];
    else if (attributes.type === NFTA_HOOK_PRIORITY) priority = attributes.u32be() | 0;
    else if (attributes.type === NFTA_HOOK_DEV) devices.push(attributes.string());
    else if (attributes.type === NFTA_HOOK_DEVS) {
      const inner = attributes.nested();
      while (inner.next()) if (inner.type === NFTA_DEVICE_NAME) devices.push(inner.string());
    }
  }
  if (hook === undefined) throw new TwillError("corrupt", `an nf_tables chain of family ${family} hangs on no hook`);
  // A single device is reported both ways.
  const unique = [...new Set(devices)];
  return { hook, priority, ...(unique.length === 0 ? {} : { devices: unique }) };
}

function chainType(name: string): NftChainType {
  if (name === "filter" || name === "nat" || name === "route") return name;
  throw new TwillError("corrupt", `"${name}" is not a type of nf_tables chain`);
}

import { type Address, type Family, familyOf, parseAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import { overlaps, type Prefix, parseStrictPrefix, prefixFamily } from "../../base/prefix.ts";
import type { ConfigId, Standing } from "../../model/live-switch.ts";
import type { Lease } from "../../model/network.ts";
import {
  integer,
  list,
  object,
  plain,
  readObject,
  required,
  rootOf,
  text,
  type Values,
  writeObject,
  wrong,
} from "../schema.ts";
import { parseNodeName } from "../subdomain.ts";
import { unusableFor } from "../unusable-network.ts";

/** Version of the stored object, raised when a reader of the one before would misread it. */
const version = 1;
const maxLength = 1 << 16;

const offer = {
  id: required(text({ meaning: "Which configuration.", parse: parseConfigId })),
  backendType: required(text({ meaning: "Its backend.", parse: parseBackendType })),
  backendData: dataByFamily(),
};
const standing = {
  epoch: required(integer({ min: 0, max: Number.MAX_SAFE_INTEGER, meaning: "Which target it follows." })),
  offers: required(
    list({ of: object({ fields: offer, unknown: "ignore" }), max: 64, meaning: "By what it receives." }),
  ),
  sends: required(text({ meaning: "By what it sends.", parse: parseConfigId })),
};

/**
 * A node's object in the datastore (kind `nodes`): its Lease. Other machines write it, so nothing in it is believed
 * before it is checked, and fields that a later version adds are left alone.
 */
const fields = {
  version: required(integer({ min: 1, max: version, meaning: "Version of this object." })),
  node: required(text({ meaning: "Name of the node.", parse: parseNodeName })),
  id: text({ meaning: "Which machine of that name.", parse: parseMachine }),
  subnets: required(list({ of: text({ parse: parseSubnet }), max: 64, meaning: "Its pods' subnets." })),
  addresses: required(list({ of: text({ parse: parseUnderlay }), max: 2, meaning: "How to reach it." })),
  backendType: required(text({ meaning: "Backend that it runs.", parse: parseBackendType })),
  backendData: dataByFamily(),
  underlays: list({ of: text({ parse: parseStrictPrefix }), max: 16, meaning: "Networks of its link." }),
  peerPort: integer({ min: 1, max: 65535, meaning: "UDP port on which its agent measures." }),
  underlayMtu: integer({ min: 68, max: 1 << 24, meaning: "MTU of its underlay interface." }),
  standing: object({ meaning: "Where it stands in a change of configuration.", fields: standing, unknown: "ignore" }),
};

function dataByFamily() {
  return object({
    meaning: "What that backend tells its peers, by family.",
    fields: { 4: plain({ meaning: "For IPv4." }), 6: plain({ meaning: "For IPv6." }) },
  });
}

export function encodeLease(lease: Lease): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(writeObject(fields, { version, ...lease })));
}

const rewritten = { remedy: "restart the network agent on that node, which writes its object anew" };

/** Stands for a lease that lies elsewhere (a Node's annotations) and cannot be read there: decodeLease throws the reason. */
export function encodeUnreadable(reason: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version, unreadable: reason.slice(0, 1000) }));
}

/** @throws TwillError `corrupt` for what no version wrote, `unsupported` for a version after this one. */
export function decodeLease(bytes: Uint8Array, source = "a node's lease"): Lease {
  const root = rootOf(parseJson(bytes, { source, code: "corrupt", maxLength, maxDepth: 16 }));
  const { version: found, unreadable: reason } = readObject({ version: plain(), unreadable: plain() }, root, {
    unknown: "ignore",
  }).values;
  if (typeof found === "number" && found > version) {
    throw new TwillError("unsupported", `it has version ${found}; this Twill reads up to ${version}`, {
      operation: "read",
      object: source,
      remedy: "upgrade this node's Twill",
    });
  }
  if (typeof reason === "string")
    throw new TwillError("corrupt", reason, { operation: "read", object: source, ...rewritten });
  const { values, at } = readObject(fields, root, { unknown: "ignore" });
  checkDistinct(values.subnets, (message) => wrong(at("subnets"), message, "the node must write it anew"));
  if (new Set(values.addresses.map(familyOf)).size !== values.addresses.length) {
    throw wrong(at("addresses"), "two addresses of one family", "the node must write it anew");
  }
  return {
    node: values.node,
    ...(values.id !== undefined && { id: values.id }),
    subnets: values.subnets,
    addresses: values.addresses,
    backendType: values.backendType,
    backendData: definedData(values.backendData?.[4], values.backendData?.[6]),
    ...(values.underlays !== undefined && { underlays: values.underlays }),
    ...(values.peerPort !== undefined && { peerPort: values.peerPort }),
    ...(values.underlayMtu !== undefined && { underlayMtu: values.underlayMtu }),
    ...(values.standing !== undefined && { standing: standingOf(values.standing) }),
  };
}

function standingOf({ epoch, offers, sends }: Values<typeof standing>): Standing {
  return {
    epoch,
    offers: offers.map(({ id, backendType, backendData }) => ({
      id,
      backendType,
      backendData: definedData(backendData?.[4], backendData?.[6]),
    })),
    sends,
  };
}

function definedData(v4: unknown, v6: unknown): Lease["backendData"] {
  return { ...(v4 !== undefined && { 4: v4 }), ...(v6 !== undefined && { 6: v6 }) };
}

/** A route of ours will lead there: it must be a network that pods can have. */
export function parseSubnet(text: string): Prefix {
  const subnet = parseStrictPrefix(text);
  const reason = unusableFor(subnet);
  if (reason !== undefined) throw new TwillError("invalid", `${subnet} cannot be a node's subnet: ${reason}`);
  return subnet;
}

/** Packets of ours will be sent there. */
export function parseUnderlay(text: string): Address {
  const address = parseAddress(text);
  const reason = unusableFor(`${address}/${familyOf(address) === 4 ? 32 : 128}` as Prefix);
  if (reason !== undefined) throw new TwillError("invalid", `${address} cannot be a node's address: ${reason}`);
  return address;
}

function parseMachine(text: string): string {
  if (/^[0-9a-zA-Z-]{1,64}$/.test(text)) return text;
  throw new TwillError("invalid", `${JSON.stringify(text.slice(0, 80))} is not the id of a machine`);
}

/** A number, as the agents count targets; anything else that is short is as good to tell configurations apart. */
export function parseConfigId(text: string): ConfigId {
  if (/^[0-9a-zA-Z-]{1,64}$/.test(text)) return text;
  throw new TwillError("invalid", `${JSON.stringify(text.slice(0, 80))} is not the id of a configuration`);
}

export function parseBackendType(text: string): string {
  if (/^[a-z][-a-z0-9]{0,31}$/.test(text)) return text;
  throw new TwillError("invalid", `${JSON.stringify(text.slice(0, 80))} is not the name of a backend`);
}

function checkDistinct(subnets: readonly Prefix[], problem: (message: string) => Error): void {
  for (const [index, subnet] of subnets.entries()) {
    const twin = subnets.slice(index + 1).find((other) => overlaps(subnet, other));
    if (twin !== undefined) throw problem(`${subnet} and ${twin} overlap`);
  }
}

/** The first subnet of that family. */
export const subnetOf = (subnets: readonly Prefix[], family: Family): Prefix | undefined =>
  subnets.find((subnet) => prefixFamily(subnet) === family);

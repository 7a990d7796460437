import type { Family } from "../base/address.ts";
import { covers, lengthOf, type Prefix, parsePrefix, prefixFamily } from "../base/prefix.ts";
import type { Masquerade } from "../model/node-state.ts";
import type { NftChain, NftRule, NftTableContent } from "../objects/nft.ts";
import { byteData, bytesOfData, dataOf, hostData, maskData, prefixData, zeroData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { marks, priorities } from "./hooks.ts";

/** One table for all that Twill does in nf_tables. */
export const twillTable = { family: "inet", table: "twill" } as const;

/**
 * Flannel's rules (flannel --ip-masq with EnableNFTables), for both families in one table:
 *
 *     forward      source or destination in a cluster network: accept
 *     masquerade   marked by kube-proxy: return                 it masquerades by itself; twice meets a kernel bug
 *                  destination in a cluster network: return     never pod → pod, and clients from outside keep their address
 *                  source in a cluster network, destination not multicast: masquerade fully-random
 *
 * Flannel writes the second as three rules, whose union is this one. What its iptables mode adds, masquerading strangers on
 * their way to pods of other nodes, its nftables mode has no longer; nor have we.
 */
export function masqueradeTable(masquerade: Masquerade | undefined): NftTableContent {
  const { family, table } = twillTable;
  const empty = { table: { family, name: table }, chains: [], rules: [], sets: [] };
  if (masquerade === undefined) return empty;
  const networks = clusterNetworks(masquerade);
  const rule = (chain: NftChain, comment: string, ...expressions: NftExpression[]): NftRule => ({
    ...twillTable,
    chain: chain.name,
    comment,
    expressions,
  });
  const masqueraded = networks.map((network) =>
    rule(
      outgoingChain,
      `${network} to the outside`,
      ...familyIs(prefixFamily(network)),
      ...addressIn("source", network),
      ...addressIn("destination", multicast[prefixFamily(network)], "neq"),
      { type: "masquerade", flags: ["fully-random"] },
    ),
  );
  const returned = networks.map((network) =>
    rule(
      outgoingChain,
      `to ${network}: addresses stay`,
      ...familyIs(prefixFamily(network)),
      ...addressIn("destination", network),
      { type: "verdict", verdict: { verdict: "return" } },
    ),
  );
  const accepted = networks.flatMap((network) =>
    (["source", "destination"] as const).map((end) =>
      rule(
        forwardChain,
        `${end === "source" ? "from" : "to"} ${network}`,
        ...familyIs(prefixFamily(network)),
        ...addressIn(end, network),
        { type: "verdict", verdict: { verdict: "accept" } },
      ),
    ),
  );
  return {
    ...empty,
    chains: [forwardChain, outgoingChain],
    rules: [
      ...accepted,
      rule(outgoingChain, "kube-proxy masquerades these", ...marked(marks.kubeProxyMasquerade), {
        type: "verdict",
        verdict: { verdict: "return" },
      }),
      ...returned,
      ...masqueraded,
    ],
  };
}

const forwardChain: NftChain = {
  ...twillTable,
  name: "forward",
  base: { type: "filter", hook: "forward", priority: priorities.forward, policy: "accept" },
  comment: "traffic of the cluster networks",
};

const outgoingChain: NftChain = {
  ...twillTable,
  name: "outgoing",
  base: { type: "nat", hook: "postrouting", priority: priorities.outgoing, policy: "accept" },
  comment: "pods leave the cluster with the node's address",
};

/** RFC 5771, RFC 4291 section 2.7. */
const multicast: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("224.0.0.0/4"), 6: parsePrefix("ff00::/8") };

/** A node's own subnet lies outside the networks while a network is being changed: its pods are of the cluster all the same. */
function clusterNetworks({ networks, local, families }: Masquerade): Prefix[] {
  const outside = local.filter((subnet) => !networks.some((network) => covers(network, subnet)));
  return [...new Set([...networks, ...outside])].filter((network) => families.includes(prefixFamily(network)));
}

/** The chains see both families, and an offset means another field in the other one. linux/netfilter.h: NFPROTO_IPV4, 6. */
const familyIs = (family: Family): NftExpression[] => [
  { type: "meta", key: "nfproto", to: 0 },
  { type: "cmp", from: 0, op: "eq", value: byteData(family === 4 ? 2 : 10) },
];

/** Where the addresses stand in the header, RFC 791 section 3.1 and RFC 8200 section 3. */
const offsets = { source: { 4: 12, 6: 8 }, destination: { 4: 16, 6: 24 } } as const;

/** nft's own way to write it, so that it lists the prefix: whole bytes are compared as they are, else through a mask. */
function addressIn(end: keyof typeof offsets, network: Prefix, op: "eq" | "neq" = "eq"): NftExpression[] {
  const family = prefixFamily(network);
  const bits = lengthOf(network);
  const whole = bits > 0 && bits % 8 === 0;
  const address = bytesOfData(prefixData(network));
  const length = whole ? bits / 8 : address.length;
  const load: NftExpression = { type: "payload", base: "network", offset: offsets[end][family], length, to: 0 };
  const compare: NftExpression = { type: "cmp", from: 0, op, value: dataOf(address.subarray(0, length)) };
  if (whole) return [load, compare];
  const mask: NftExpression = {
    type: "bitwise",
    from: 0,
    to: 0,
    length,
    mask: maskData(family, bits),
    xor: zeroData(length),
  };
  return [load, mask, compare];
}

const marked = (bits: number): NftExpression[] => [
  { type: "meta", key: "mark", to: 0 },
  { type: "bitwise", from: 0, to: 0, length: 4, mask: hostData(bits), xor: zeroData(4) },
  { type: "cmp", from: 0, op: "eq", value: hostData(bits) },
];

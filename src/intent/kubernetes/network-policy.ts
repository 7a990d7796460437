import type { EndpointMatch, PeerMatch, Policy, PolicyRule, Selector } from "../../model/policy.ts";
import { type Place, wrong } from "../schema.ts";
import { readLabelSelector } from "./label-selector.ts";
import type { Metadata } from "./metadata.ts";
import { readIpBlock } from "./networks.ts";
import { readNetworkPolicyPort } from "./ports.ts";
import { type Fields, itemsOf, missing, type Reading, readFields, readWord, warnAt } from "./reading.ts";
import { policySource, ruleLine } from "./source.ts";

export const NETWORK_POLICY_API = "networking.k8s.io/v1";
/** Calico's number for Kubernetes' policies, between which there is no order. */
const ORDER = 1000;

type SpecField = "podSelector" | "policyTypes" | "ingress" | "egress";
export const specFields: readonly SpecField[] = ["podSelector", "policyTypes", "ingress", "egress"];

/**
 * NetworkPolicy of networking.k8s.io/v1, with what the API server checks and fills in.
 * @param spec its field of that name; undefined: there is none, which is an empty one.
 * @throws JsonError for the first thing wrong.
 */
export function readNetworkPolicy(whole: Place, spec: Place | undefined, metadata: Metadata, reading: Reading): Policy {
  if (spec === undefined) throw missing({ place: whole }, "spec", "add spec: with podSelector: {} in it");
  const namespace = metadata.namespace ?? "";
  const fields = readFields(spec, specFields, reading);
  const selector = fields.at("podSelector");
  if (selector === undefined && reading.origin === "file") {
    throw missing(fields, "podSelector", "add it; podSelector: {} means all pods of the namespace");
  }
  const source = policySource(whole, metadata, reading);
  const rules = (name: "ingress" | "egress"): readonly PolicyRule[] => {
    const place = fields.at(name);
    if (place === undefined) return [];
    const line = ruleLine(metadata, name, reading);
    return itemsOf(place).map((item, index) => readRule(item, name, namespace, reading, line(item, index)));
  };
  const [ingress, egress] = [rules("ingress"), rules("egress")];
  const types = readPolicyTypes(fields, reading);
  return {
    id: { kind: "NetworkPolicy", namespace, name: metadata.name },
    tier: "default",
    order: ORDER,
    subject: podsOf(namespace, selector === undefined ? undefined : readLabelSelector(selector, reading)),
    ...(types.has("Ingress") && { ingress }),
    ...(types.has("Egress") && { egress }),
    allowsOwnNode: true,
    ...(source !== undefined && { source }),
  };
}

const podsOf = (namespace: string, labels: Selector | undefined): EndpointMatch => ({
  namespace,
  ...(labels !== undefined && labels.op !== "all" && { labels }),
});

const policyTypes = ["Ingress", "Egress"] as const;

/**
 * Without policyTypes: Ingress always, Egress when there are egress rules (k8s.io/api networking/v1, NetworkPolicySpec; an empty list
 * of either counts as absent). @throws JsonError.
 */
export function readPolicyTypes(
  fields: Fields<SpecField>,
  reading: Reading,
): ReadonlySet<(typeof policyTypes)[number]> {
  const place = fields.at("policyTypes");
  const written = place === undefined ? [] : itemsOf(place).map((item) => readWord(item, policyTypes));
  const types = new Set(written);
  if (place !== undefined && written.length > 2) {
    throw wrong(place, "more than two types", "write Ingress, Egress, or both");
  }
  for (const type of types.size === 0 ? [] : policyTypes) {
    const rules = fields.at(type === "Ingress" ? "ingress" : "egress");
    if (types.has(type) || rules === undefined || itemsOf(rules).length === 0) continue;
    warnAt(
      reading,
      rules,
      `these rules count for nothing: policyTypes does not name ${type}`,
      `add ${type} to policyTypes`,
    );
  }
  if (types.size > 0) return types;
  const egress = fields.at("egress");
  const isolatesEgress = egress !== undefined && itemsOf(egress).length > 0;
  if (egress !== undefined && !isolatesEgress) {
    const message = "an empty list of egress rules without policyTypes leaves egress open";
    warnAt(reading, egress, message, "add policyTypes: [Egress], with Ingress if that is meant, to deny all egress");
  }
  return new Set(isolatesEgress ? policyTypes : ["Ingress"]);
}

function readRule(
  place: Place,
  direction: "ingress" | "egress",
  namespace: string,
  reading: Reading,
  line: number | undefined,
): PolicyRule {
  const peers = direction === "ingress" ? "from" : "to";
  const other = direction === "ingress" ? "to" : "from";
  const fields = readFields(place, [peers, "ports"], reading);
  if (fields.unknown.includes(other)) {
    throw wrong(
      place,
      `a rule of ${direction} has ${peers}, not ${other}`,
      `write ${peers}, or move it to ${direction === "ingress" ? "egress" : "ingress"}`,
    );
  }
  const peersPlace = fields.at(peers);
  const peer = peersPlace === undefined ? undefined : readPeers(peersPlace, namespace, reading);
  const portsPlace = fields.at("ports");
  const ports = portsPlace === undefined ? [] : itemsOf(portsPlace);
  const traffic = ports.flatMap((item) => readNetworkPolicyPort(item, reading) ?? []);
  // A field of another version would narrow the rule, so it matches nothing rather than more than was meant.
  const closed = fields.unknown.length > 0;
  return {
    action: "allow",
    ...(peer !== undefined && (direction === "ingress" ? { source: peer } : { destination: peer })),
    ...(closed ? { traffic: [] } : ports.length > 0 && { traffic }),
    ...(line !== undefined && { line }),
  };
}

/** Undefined: an empty list, which is everyone. */
function readPeers(place: Place, namespace: string, reading: Reading): PeerMatch | undefined {
  const items = itemsOf(place);
  const peers = items.flatMap((item) => readPeer(item, namespace, reading) ?? []);
  if (items.length === 0) return undefined;
  const [only] = peers;
  return peers.length === 1 && only !== undefined ? only : { any: peers };
}

/** Undefined: it has a field of another version, which would narrow it, so it is nobody. */
function readPeer(place: Place, namespace: string, reading: Reading): PeerMatch | undefined {
  const fields = readFields(place, ["podSelector", "namespaceSelector", "ipBlock"], reading);
  const pods = fields.at("podSelector");
  const namespaces = fields.at("namespaceSelector");
  const block = fields.at("ipBlock");
  if (block !== undefined) {
    if (pods !== undefined || namespaces !== undefined) {
      const message = "ipBlock stands alone: pods have selectors, what is outside has addresses";
      throw wrong(block, message, "make two peers of it, each beginning with -");
    }
    const match = readIpBlock(block, reading);
    return fields.unknown.length > 0 ? undefined : match;
  }
  if (pods === undefined && namespaces === undefined) {
    if (fields.unknown.length > 0) return undefined;
    throw wrong(
      place,
      "a peer needs podSelector, namespaceSelector or ipBlock",
      "write podSelector: {} for all pods of the namespace, namespaceSelector: {} for all pods, or leave the list away for everyone",
    );
  }
  const labels = pods === undefined ? undefined : readLabelSelector(pods, reading);
  const match: EndpointMatch =
    namespaces === undefined ? podsOf(namespace, labels) : podsIn(readLabelSelector(namespaces, reading), labels);
  return fields.unknown.length > 0 ? undefined : { endpoints: match };
}

/** Pods with these labels in namespaces with those; what is "all" is left out. */
export const podsIn = (namespaces: Selector, labels: Selector | undefined): EndpointMatch => ({
  ...(namespaces.op !== "all" && { namespaces }),
  ...(labels !== undefined && labels.op !== "all" && { labels }),
});

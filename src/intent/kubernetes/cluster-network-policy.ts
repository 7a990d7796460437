import type { EndpointMatch, PeerMatch, Policy, PolicyRule, RuleAction, TrafficMatch } from "../../model/policy.ts";
import { protocols } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { readLabelSelector } from "./label-selector.ts";
import type { Metadata } from "./metadata.ts";
import { podsIn } from "./network-policy.ts";
import { readNetwork } from "./networks.ts";
import { readPortName, readPortNumber } from "./ports.ts";
import {
  type Fields,
  itemsOf,
  missing,
  type Reading,
  readFields,
  readInteger,
  readText,
  readWord,
  shown,
  warnAt,
} from "./reading.ts";
import { policySource, ruleLine } from "./source.ts";

export const CLUSTER_NETWORK_POLICY_API = "policy.networking.k8s.io/v1alpha2";
/** Of rules in a direction, peers in a rule, protocols in a rule, networks in a peer. */
const MOST = 25;
const LONGEST_RULE_NAME = 100;

export const clusterSpecFields = ["tier", "priority", "subject", "ingress", "egress"] as const;
type SpecField = (typeof clusterSpecFields)[number];

const tiers = { Admin: "kube-admin", Baseline: "kube-baseline" } as const;
const tierWords = ["Admin", "Baseline"] as const;

/** @throws JsonError. */
export const readTier = (place: Place): string => tiers[readWord(place, tierWords)];
/** @throws JsonError. */
export const readPriority = (place: Place): number => readInteger(place, 0, 1000);

/**
 * ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2, with the checks of its CRD. What this version does not know, peers by
 * domain name among it, fails closed as the API wants it: a rule that accepts matches nothing, one that denies or passes denies all.
 * @throws JsonError for the first thing wrong.
 */
export function readClusterNetworkPolicy(
  whole: Place,
  spec: Place | undefined,
  metadata: Metadata,
  reading: Reading,
): Policy {
  if (spec === undefined) throw missing({ place: whole }, "spec", "add spec: with tier, priority and subject in it");
  const fields = readFields(spec, clusterSpecFields, reading);
  const need = (name: SpecField, remedy: string): Place => {
    const place = fields.at(name);
    if (place === undefined) throw missing(fields, name, remedy);
    return place;
  };
  const rules = (name: "ingress" | "egress"): readonly PolicyRule[] => {
    const place = fields.at(name);
    if (place === undefined) return [];
    const line = ruleLine(metadata, name, reading);
    return itemsOf(place, MOST).map((item, index) => readRule(item, name, reading, line(item, index)));
  };
  const source = policySource(whole, metadata, reading);
  const [ingress, egress] = [rules("ingress"), rules("egress")];
  return {
    id: { kind: "ClusterNetworkPolicy", name: metadata.name },
    tier: readTier(need("tier", "add tier: Admin or tier: Baseline")),
    order: readPriority(need("priority", "add priority: with a number from 0 to 1000; lower comes first")),
    subject: readSubject(need("subject", "add subject: with namespaces: {} in it for all pods"), reading),
    // "CNPs with no ingress rules do not affect ingress traffic."
    ...(ingress.length > 0 && { ingress }),
    ...(egress.length > 0 && { egress }),
    allowsOwnNode: false,
    ...(source !== undefined && { source }),
  };
}

/** Exactly one of namespaces and pods. @throws JsonError. */
export function readSubject(place: Place, reading: Reading): EndpointMatch {
  const fields = readFields(place, ["namespaces", "pods"], reading);
  const match = one(fields, ["namespaces", "pods"]);
  // A policy whose subject nobody understands might protect anyone.
  if (match === undefined)
    throw wrong(place, "a subject needs namespaces or pods", "write namespaces: {} for all pods");
  return match.name === "namespaces"
    ? podsIn(readLabelSelector(match.place, reading), undefined)
    : readPods(match.place, reading);
}

/** NamespacedPod: both selectors, each empty for all. */
function readPods(place: Place, reading: Reading): EndpointMatch {
  const fields = readFields(place, ["namespaceSelector", "podSelector"], reading, {
    unknown: { refuse: "write namespaceSelector and podSelector" },
  });
  const namespaces = fields.at("namespaceSelector");
  const pods = fields.at("podSelector");
  if (pods === undefined) throw missing(fields, "podSelector", "add podSelector: {} for all pods");
  if (namespaces === undefined && reading.origin === "file") {
    throw missing(fields, "namespaceSelector", "add namespaceSelector: {} for all namespaces");
  }
  return podsIn(
    namespaces === undefined ? { op: "all" } : readLabelSelector(namespaces, reading),
    readLabelSelector(pods, reading),
  );
}

/** The one field that is there. Undefined: none is known. @throws JsonError for several. */
function one<K extends string>(
  fields: Fields<K>,
  names: readonly K[],
): { readonly name: K; readonly place: Place } | undefined {
  const found = names.flatMap((name) => {
    const place = fields.at(name);
    return place === undefined ? [] : [{ name, place }];
  });
  const [first, second] = found;
  if (first !== undefined && second !== undefined) {
    throw wrong(second.place, `${first.name} stands here already`, `keep one of ${first.name} and ${second.name}`);
  }
  return fields.unknown.length > 0 ? undefined : first;
}

const actions: Readonly<Record<string, RuleAction>> = { Accept: "allow", Deny: "deny", Pass: "pass" };

function readRule(
  place: Place,
  direction: "ingress" | "egress",
  reading: Reading,
  line: number | undefined,
): PolicyRule {
  const peersName = direction === "ingress" ? "from" : "to";
  const fields = readFields(place, ["name", "action", peersName, "protocols"], reading);
  const actionPlace = fields.at("action");
  if (actionPlace === undefined) throw missing(fields, "action", "add action: Accept, Deny or Pass");
  const action = actions[readWord(actionPlace, ["Accept", "Deny", "Pass"])] ?? "deny";
  const peersPlace = fields.at(peersName);
  if (peersPlace === undefined || itemsOf(peersPlace).length === 0) {
    throw missing(fields, peersName, `add ${peersName}: with at least one peer, ${everyone(direction)}`);
  }
  const peers = itemsOf(peersPlace, MOST).map((item) => readPeer(item, direction, action, reading));
  const protocolsPlace = fields.at("protocols");
  const traffic = protocolsPlace === undefined ? undefined : readProtocols(protocolsPlace, reading);
  if (direction === "egress") checkNamedPorts(peersPlace, traffic);
  const about = { ...readName(fields.at("name")), ...(line !== undefined && { line }) };
  const closed = fields.unknown.length > 0 || [...peers, ...(traffic ?? [])].some((part) => part === undefined);
  if (closed) return action === "allow" ? { action, ...about, traffic: [] } : { action: "deny", ...about };
  const known = peers.flatMap((peer) => peer ?? []);
  const [only] = known;
  const peer = known.length === 1 && only !== undefined ? only : { any: known };
  return {
    action,
    ...about,
    ...(direction === "ingress" ? { source: peer } : { destination: peer }),
    ...(traffic !== undefined && { traffic: traffic.flatMap((match) => match ?? []) }),
  };
}

const everyone = (direction: "ingress" | "egress"): string =>
  direction === "ingress" ? "namespaces: {} for all pods" : 'networks: ["0.0.0.0/0", "::/0"] for everyone';

function readName(place: Place | undefined): { readonly name?: string } {
  if (place === undefined) return {};
  const name = readText(place);
  if (name.length > LONGEST_RULE_NAME) {
    throw wrong(place, `a name of ${name.length} characters`, `write at most ${LONGEST_RULE_NAME}`);
  }
  return name === "" ? {} : { name: shownWhole(name) };
}

/** Names go into logs and tables. */
const shownWhole = (name: string): string => name.replace(/\p{C}/gu, "·");

const egressPeers = ["namespaces", "pods", "nodes", "networks", "domainNames"] as const;
const ingressPeers = ["namespaces", "pods"] as const;

/** Undefined: of a kind that is not known, or not done here. */
function readPeer(
  place: Place,
  direction: "ingress" | "egress",
  action: RuleAction,
  reading: Reading,
): PeerMatch | undefined {
  const names: readonly (typeof egressPeers)[number][] = direction === "ingress" ? ingressPeers : egressPeers;
  const fields = readFields(place, names, reading);
  const peer = one(fields, names);
  if (peer === undefined) {
    if (reading.origin === "file" && fields.unknown.length === 0) {
      throw wrong(place, `a peer needs one of ${names.join(", ")}`, `write ${everyone(direction)}`);
    }
    const message = `no peer that this version knows, so the rule ${closedMeans(action)}`;
    warnAt(reading, place, message, `use one of ${names.join(", ")}`);
    return undefined;
  }
  switch (peer.name) {
    case "namespaces":
      return { endpoints: podsIn(readLabelSelector(peer.place, reading), undefined) };
    case "pods":
      return { endpoints: readPods(peer.place, reading) };
    case "nodes":
      return { nodes: readLabelSelector(peer.place, reading) };
    case "networks":
      return { networks: readSome(peer.place).map((item) => readNetwork(item, reading)), except: [] };
    case "domainNames":
      return readDomainNames(peer.place, action, reading);
  }
}

const closedMeans = (action: RuleAction): string => (action === "allow" ? "accepts nothing" : "denies everything");

function readSome(place: Place): readonly Place[] {
  const items = itemsOf(place, MOST);
  if (items.length === 0) throw wrong(place, "an empty list", "write at least one, or remove the peer");
  return items;
}

const domainName =
  /^(?:\*\.)?(?:[a-zA-Z0-9](?:[-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9](?:[-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$/;

/** Read, so that what is wrong is said; but names are not followed to addresses yet. */
function readDomainNames(place: Place, action: RuleAction, reading: Reading): undefined {
  for (const item of readSome(place)) {
    const name = readText(item);
    if (name.length <= 255 && domainName.test(name)) continue;
    throw wrong(
      item,
      `${described(item)} is not a domain name`,
      "write example.com, or *.example.com for names below it",
    );
  }
  if (action !== "allow" && reading.origin === "file") {
    throw wrong(
      place,
      "domainNames stand in rules that accept only",
      "accept the names, and deny the rest behind them",
    );
  }
  const message = `domainNames are not supported yet, so the rule ${closedMeans(action)}`;
  warnAt(reading, place, message, "use networks with the names' addresses");
}

function readProtocols(place: Place, reading: Reading): readonly (TrafficMatch | undefined)[] {
  return readSome(place).map((item) => readProtocol(item, reading));
}

const protocolFields = ["tcp", "udp", "sctp", "destinationNamedPort"] as const;

/** Undefined: of a kind that is not known. */
function readProtocol(place: Place, reading: Reading): TrafficMatch | undefined {
  const fields = readFields(place, protocolFields, reading);
  const match = one(fields, protocolFields);
  if (match === undefined) return unknownProtocol(place, fields, reading, protocolFields);
  if (match.name === "destinationNamedPort") return { portName: readPortName(match.place) };
  const inner = readFields(match.place, ["destinationPort"], reading);
  const port = inner.at("destinationPort");
  if (port === undefined || inner.unknown.length > 0)
    return unknownProtocol(match.place, inner, reading, ["destinationPort"]);
  const range = readPort(port, reading);
  return range && { protocol: protocols[match.name], ports: range };
}

function unknownProtocol(place: Place, fields: Fields<string>, reading: Reading, names: readonly string[]): undefined {
  if (reading.origin === "file" && fields.unknown.length === 0) {
    throw wrong(place, `${names.join(", ")}: one is needed here`, "write tcp: {destinationPort: {number: 80}}");
  }
  warnAt(reading, place, "nothing that this version knows, so the rule fails closed", `use one of ${names.join(", ")}`);
}

function readPort(place: Place, reading: Reading): { readonly first: number; readonly last: number } | undefined {
  const fields = readFields(place, ["number", "range"], reading);
  const match = one(fields, ["number", "range"]);
  if (match === undefined) return unknownProtocol(place, fields, reading, ["number", "range"]);
  if (match.name === "number") {
    const port = readPortNumber(match.place);
    return { first: port, last: port };
  }
  const range = readFields(match.place, ["start", "end"], reading);
  const [start, end] = [range.at("start"), range.at("end")];
  if (start === undefined) throw missing(range, "start", "add start: with the first port");
  if (end === undefined) throw missing(range, "end", "add end: with the last port");
  const [first, last] = [readPortNumber(start), readPortNumber(end)];
  if (first >= last) throw wrong(end, `the range ends at ${last}, and begins at ${first}`, "use number for one port");
  return range.unknown.length > 0 ? undefined : { first, last };
}

/** "networks/nodes/domainNames peer cannot be set with namedPorts" (the CRD's own rule): only pods have names of ports. */
function checkNamedPorts(peers: Place, traffic: readonly (TrafficMatch | undefined)[] | undefined): void {
  if (!(traffic ?? []).some((match) => match !== undefined && "portName" in match)) return;
  for (const item of itemsOf(peers)) {
    if (item.node.kind !== "object") continue;
    const without = item.node.members.find(({ key }) => key === "nodes" || key === "networks" || key === "domainNames");
    if (without === undefined || without.value.kind === "null") continue;
    const message = `${shown(without.key)} have no named ports, and the rule has destinationNamedPort`;
    throw wrong(item, message, "make two rules of it, or write the port's number");
  }
}

import { type Claim, leafHolds, type Place } from "../../compile/policy/claim.ts";
import { matchesLabels } from "../../compile/policy/selector.ts";
import { type PeerLeaf, truthOfPeer, yes } from "../../compile/policy/truth.ts";
import type { EndpointMatch, NamedPort, PeerMatch, Selector, TrafficMatch } from "../../model/policy.ts";
import { describeTraffic, portRange, protocolName, uniteAll, wholeProtocol } from "./traffic.ts";

/** "app=web and not tier in (a, b)". */
export function describeSelector(selector: Selector): string {
  switch (selector.op) {
    case "all":
      return "anything";
    case "has":
      return `has ${selector.key}`;
    case "in":
      return selector.values.length === 1
        ? `${selector.key}=${selector.values[0]}`
        : `${selector.key} in (${selector.values.join(", ")})`;
    case "not-in":
      return `${selector.key} not in (${selector.values.join(", ")})`;
    case "contains":
    case "starts-with":
    case "ends-with":
      return `${selector.key} ${selector.op.replace("-", " ")} "${selector.value}"`;
    case "not":
      return `not ${bracketed(selector.of)}`;
    case "and":
    case "or":
      return selector.of.map(bracketed).join(` ${selector.op} `);
  }
}

const bracketed = (selector: Selector): string =>
  selector.op === "and" || selector.op === "or" ? `(${describeSelector(selector)})` : describeSelector(selector);

/** "pods with app=web in namespace shop". */
export function describeEndpoints({ namespace, namespaces, labels, serviceAccounts }: EndpointMatch): string {
  const narrowed = namespaces !== undefined && namespaces.op !== "all";
  const accounts = serviceAccounts === undefined ? "" : ` of service account ${serviceAccounts.join(" or ")}`;
  const where =
    namespace !== undefined
      ? ` in namespace ${namespace}`
      : narrowed
        ? ` in namespaces with ${describeSelector(namespaces)}`
        : "";
  const who = labels === undefined || labels.op === "all" ? "all pods" : `pods with ${describeSelector(labels)}`;
  return `${who}${accounts}${where}`;
}

/** "pods with app=web in namespace shop, or 10.0.0.0/8 but 10.1.0.0/16". */
export function describePeer(peer: PeerMatch): string {
  if ("any" in peer) return peer.any.length === 0 ? "nobody" : peer.any.map(describePeer).join(", or ");
  if ("all" in peer) return peer.all.map(describePeer).join(", and ");
  if ("not" in peer) return `all but ${describePeer(peer.not)}`;
  if ("endpoints" in peer) return describeEndpoints(peer.endpoints);
  if ("nodes" in peer) return peer.nodes.op === "all" ? "all nodes" : `nodes with ${describeSelector(peer.nodes)}`;
  const { networks, except } = peer;
  return `${networks.join(", ")}${except.length === 0 ? "" : ` but ${except.join(", ")}`}`;
}

/** "TCP 80; port http". */
export function describeTrafficMatches(matches: readonly TrafficMatch[]): string {
  if (matches.length === 0) return "nothing";
  const named = matches.flatMap((match) =>
    "portName" in match
      ? [`${match.protocol === undefined ? "" : `${protocolName(match.protocol)} `}port ${match.portName}`]
      : [],
  );
  const numbered = uniteAll(matches.map(trafficOfMatch));
  return [...(numbered.length === 0 ? [] : [describeTraffic(numbered)]), ...named].join("; ");
}

function trafficOfMatch(match: TrafficMatch) {
  if ("portName" in match) return [];
  if ("icmpType" in match) {
    const first = match.icmpType * 256;
    const code = match.icmpCode;
    return code === undefined
      ? portRange(match.protocol, first, first + 255)
      : portRange(match.protocol, first + code, first + code);
  }
  return "ports" in match
    ? portRange(match.protocol, match.ports.first, match.ports.last)
    : wholeProtocol(match.protocol);
}

/** Of somebody at an address: "its label app is db, not web". For one who does not match. */
export function whyNotPeer(peer: PeerMatch, claim: Claim | undefined, place: Place): string {
  const holds = (of: PeerMatch): boolean => truthOfPeer(of, (leaf) => leafHolds(leaf, claim, place)) === yes;
  if ("any" in peer) {
    const [first, ...more] = peer.any;
    if (first === undefined) return "the rule names nobody";
    return more.length === 0 ? whyNotPeer(first, claim, place) : `it is none of: ${describePeer(peer)}`;
  }
  if ("all" in peer) {
    const failing = peer.all.find((one) => !holds(one));
    return failing === undefined ? "" : whyNotPeer(failing, claim, place);
  }
  if ("not" in peer) return `it is among ${describePeer(peer.not)}, which the rule leaves out`;
  return whyNotLeaf(peer, claim, place);
}

function whyNotLeaf(leaf: PeerLeaf, claim: Claim | undefined, place: Place): string {
  if ("networks" in leaf) {
    const excepted = leaf.except.filter((one) => leafHolds({ networks: [one], except: [] }, claim, place) === yes);
    return excepted.length > 0
      ? `its address is in ${excepted[0]}, which the rule leaves out`
      : `its address is not in ${leaf.networks.join(", ")}`;
  }
  if ("nodes" in leaf) {
    return claim !== undefined && "own" in claim
      ? `the node's labels do not match ${describeSelector(leaf.nodes)}`
      : `it is no node, and the rule wants ${describePeer(leaf)}`;
  }
  const wanted = `the rule wants ${describeEndpoints(leaf.endpoints)}`;
  if (claim === undefined) return `it is no pod, and ${wanted}`;
  if ("own" in claim) return `it is a node, and ${wanted}`;
  if (claim.known === undefined) return "its labels are not known";
  const { namespace, namespaces, labels, serviceAccounts } = leaf.endpoints;
  if (namespace !== undefined && namespace !== claim.namespace)
    return `its namespace is ${claim.namespace}, not ${namespace}`;
  if (namespaces !== undefined && !matchesLabels(namespaces, claim.known.namespaceLabels))
    return `its namespace ${claim.namespace}: ${whyNotLabels(namespaces, claim.known.namespaceLabels)}`;
  if (labels !== undefined && !matchesLabels(labels, claim.known.labels))
    return whyNotLabels(labels, claim.known.labels);
  if (serviceAccounts !== undefined)
    return `its service account is ${claim.known.serviceAccount ?? "not known"}, not ${serviceAccounts.join(" or ")}`;
  return wanted;
}

function whyNotLabels(selector: Selector, labels: Readonly<Record<string, string>>): string {
  if (selector.op === "and") {
    const failing = selector.of.find((one) => !matchesLabels(one, labels));
    if (failing !== undefined) return whyNotLabels(failing, labels);
  }
  if (!("key" in selector)) return `its labels do not match ${describeSelector(selector)}`;
  const value = labels[selector.key];
  if (value === undefined) return `it has no label ${selector.key} (wanted: ${describeSelector(selector)})`;
  if (selector.op === "in") return `its label ${selector.key} is ${value}, not ${selector.values.join(" or ")}`;
  return `its label ${selector.key} is ${value} (wanted: ${describeSelector(selector)})`;
}

/** Why a packet to this port is not what the rule is about. @param ports of the destination; undefined: it is no pod. */
export function whyNotTraffic(matches: readonly TrafficMatch[], ports: readonly NamedPort[] | undefined): string {
  const wanted = `the rule is about ${describeTrafficMatches(matches)}`;
  const named = matches.flatMap((match) => {
    if (!("portName" in match)) return [];
    const own = ports?.filter(({ name }) => name === match.portName) ?? [];
    if (own.length === 0) return [`nothing at the other end is called ${match.portName}`];
    return [
      `${match.portName} is ${own.map(({ protocol, port }) => `${protocolName(protocol)} ${port}`).join(", ")} there`,
    ];
  });
  return named.length === 0 ? wanted : `${wanted}: ${named.join(", ")}`;
}

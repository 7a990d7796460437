import type { Family } from "../../base/address.ts";
import { type Direction, neighbourDiscovery } from "../../model/policy.ts";
import { byteData, hostData } from "../../objects/nft-data.ts";
import { ctState, ctStatus, type NftExpression } from "../../objects/nft-expression.ts";
import { labels, logGroup, marks, priorities } from "../hooks.ts";
import { type ChainOfRules, chainOf, dispatch, evaluation, type RuleLine, rowOf } from "./evaluation.ts";
import {
  againChain,
  bothChain,
  denyChain,
  dispatchChain,
  familyChain,
  type Path,
  receivedChain,
  sentChain,
  setNames,
  unknownClass,
} from "./names.ts";
import type { PolicyOptions } from "./options.ts";
import {
  accept,
  addressRegister,
  type End,
  go,
  groupRegister,
  hasBits,
  icmpOf,
  is,
  isByte,
  isFamily,
  loadAddress,
  loadProtocol,
  lookup,
  onInterface,
  ownEnd,
  rowRegister,
} from "./registers.ts";

const families: readonly Family[] = [4, 6];

/**
 * All chains of policy (docs/design/policy.md): they depend on the options alone, never on a policy or an endpoint.
 *
 *     spoofed      prerouting   packets of our pods' interfaces bear an address that is routed there
 *     policy       forward      what began allowed goes on; what begins is judged: source's egress, destination's ingress
 *     policy_node  input        the same, for what pods send to their node: egress alone
 *
 * What a node sends to its own pods is always allowed, so nothing hangs on output.
 */
export function policyProgram(options: PolicyOptions): ChainOfRules[] {
  const evaluations = families.flatMap((family) => [
    dispatch("egress", family, "forward"),
    dispatch("egress", family, "input"),
    dispatch("ingress", family, "forward"),
    ...(["endpoint", "network", "own_node"] as const).map((peer) => evaluation("egress", family, peer)),
    ...(["endpoint", "network"] as const).map((peer) => evaluation("ingress", family, peer)),
  ]);
  const paths = families.flatMap((family) => familyPaths(family, options));
  return [
    ...(options.podInterfaces === undefined
      ? []
      : [spoofed(options.podInterfaces, options.reversePathFiltered === true)]),
    base("policy", "forward", options),
    base("policy_node", "input", options),
    ...paths,
    ...evaluations,
    ...denials(options),
  ];
}

/** Where a pod without a row is cut off. */
export const closedInterfaces = (options: PolicyOptions): string | undefined =>
  options.unknownPodsAllowed === true ? undefined : options.podInterfaces;

function base(name: string, path: Path, options: PolicyOptions): ChainOfRules {
  const cut: NftExpression[] = [
    { type: "ct", key: "label", to: 0 },
    ...hasBits(labels.cut.word, labels.cut.bit),
    go("goto", denyChain("cut")),
  ];
  const known = (key: "state" | "status", bits: number): NftExpression[] => [
    { type: "ct", key, to: 0 },
    ...hasBits(0, bits),
    accept,
  ];
  const { chain, rules } = chainOf(
    name,
    path === "forward" ? "policy: through this node" : "policy: pods to their node",
    [
      ...(options.established === "recheck" ? [["cut: it would no longer be allowed to begin", ...cut] as const] : []),
      ["replies and related ICMP", ...known("state", ctState.established | ctState.related)],
      ["accepted before, and not answered yet", ...known("status", ctStatus.confirmed)],
      ["IPv4", ...isFamily(4), go("goto", familyChain(4, path))],
      ["IPv6", ...isFamily(6), go("goto", familyChain(6, path))],
    ],
  );
  return {
    chain: { ...chain, base: { type: "filter", hook: path, priority: priorities.policy, policy: "accept" } },
    rules,
  };
}

/** ICMPv6 between neighbours: the hop limit shows that no router has passed it on, or will. */
const ofTheLink = (hopLimit: number, firstType: number, lastType: number): NftExpression[] => [
  loadProtocol(0),
  isByte(0, icmpOf[6]),
  { type: "payload", base: "network", offset: 7, length: 1, to: 0 },
  isByte(0, hopLimit),
  { type: "payload", base: "transport", offset: 0, length: 1, to: 0 },
  { type: "range", from: 0, op: "eq", first: byteData(firstType), last: byteData(lastType) },
  accept,
];

/** A switch that looks at these (a bridge does) sends neighbour solicitations only where somebody has reported to listen. */
const neighbours: readonly RuleLine[] = [
  [
    "neighbour discovery (RFC 4861 section 7.1)",
    ...ofTheLink(255, Math.min(...neighbourDiscovery), Math.max(...neighbourDiscovery)),
  ],
  ["multicast listeners (RFC 2710 section 3)", ...ofTheLink(1, 130, 132)],
  ["multicast listeners (RFC 3810 section 5.2)", ...ofTheLink(1, 143, 143)],
];

/**
 * nf_tables changes all that is in a transaction at once, but a packet makes many lookups: some before, some behind, and what comes of that
 * may be what neither policy says. So whoever is judged notes the epoch in the connection's label first (`dispatch`), and looks at the end
 * whether it still is; if not, all is judged once more. Who is judged at neither end was not so in one epoch, or at least the source was looked at on both sides of the
 * destination: what has changed in between shows.
 */
function familyPaths(family: Family, options: PolicyOptions): ChainOfRules[] {
  const judged = (direction: Direction, ...then: NftExpression[]): NftExpression[] => [
    ...rowOf(family, ownEnd[direction]),
    is(groupRegister[direction], 0, "neq"),
    ...then,
  ];
  const judge = (direction: Direction, path: Path) => go("jump", dispatchChain(direction, family, path));
  const closed = closedInterfaces(options);
  const unknown = (end: End): RuleLine[] =>
    closed === undefined
      ? []
      : [
          [
            `the ${end} is a pod that policy does not know`,
            ...rowOf(family, end),
            is(rowRegister, unknownClass),
            ...onInterface(end === "source" ? "iifname" : "oifname", closed),
            go("goto", denyChain("unknown")),
          ],
        ];
  const itself: RuleLine = [
    "a pod to itself",
    loadAddress(family, "source", addressRegister),
    loadAddress(family, "destination", addressRegister + (family === 4 ? 1 : 4)),
    { type: "lookup", set: setNames.selves[family], from: addressRegister },
    accept,
  ];
  const first = family === 6 ? neighbours : [];
  const again = (path: Path) => go("goto", againChain(family, path));
  const settle = (path: Path): RuleLine[] => [
    ["in one epoch", { type: "ct", key: "label", to: 0 }, lookup(setNames.epoch, labels.epoch, 0), accept],
    ["policy changed meanwhile: once more", again(path)],
  ];
  return [
    chainOf(familyChain(family, "forward"), `IPv${family} through this node`, [
      ...first,
      ["the source is judged", ...judged("egress", go("goto", sentChain(family, "forward")))],
      ...unknown("source"),
      ["the destination is judged", ...judged("ingress", go("goto", receivedChain(family)))],
      ...unknown("destination"),
      ["the source is judged now", ...judged("egress", again("forward"))],
    ]),
    chainOf(sentChain(family, "forward"), `IPv${family} through this node, of a judged source`, [
      itself,
      ["source", judge("egress", "forward")],
      ["the destination is judged, too", ...judged("ingress", go("goto", bothChain(family)))],
      ...unknown("destination"),
      ...settle("forward"),
    ]),
    chainOf(bothChain(family), `IPv${family} through this node, judged at both ends`, [
      ["destination", judge("ingress", "forward")],
      ...settle("forward"),
    ]),
    chainOf(receivedChain(family), `IPv${family} through this node, to a judged destination`, [
      itself,
      ["destination", judge("ingress", "forward")],
      ["the source is judged now", ...judged("egress", again("forward"))],
      ...settle("forward"),
    ]),
    chainOf(familyChain(family, "input"), `IPv${family} to this node`, [
      ...first,
      ["the source is judged", ...judged("egress", go("goto", sentChain(family, "input")))],
      ...unknown("source"),
    ]),
    chainOf(sentChain(family, "input"), `IPv${family} to this node, of a judged source`, [
      ["source", judge("egress", "input")],
      ...settle("input"),
    ]),
    chainOf(againChain(family, "forward"), `IPv${family} through this node, when policy changed`, [
      ["the source is judged", ...judged("egress", judge("egress", "forward"))],
      ...unknown("source"),
      ["the destination is judged", ...judged("ingress", judge("ingress", "forward"))],
      ...unknown("destination"),
    ]),
    chainOf(againChain(family, "input"), `IPv${family} to this node, when policy changed`, [
      ["the source is judged", ...judged("egress", judge("egress", "input"))],
      ...unknown("source"),
    ]),
  ];
}

/**
 * Before conntrack, so that a forged packet is no part of anybody's connection. The kernel lets DHCP's and duplicate address detection's
 * unspecified source pass (nft_fib_ipv4.c, nft_fib_ipv6.c).
 */
function spoofed(podInterfaces: string, reversePathFiltered: boolean): ChainOfRules {
  const { chain, rules } = chainOf("spoofed", "packets of pods with others' addresses", [
    [
      "the source is not routed to where it comes from",
      ...(reversePathFiltered ? isFamily(6) : []),
      ...onInterface("iifname", podInterfaces),
      { type: "fib", to: 0, result: "oif", flags: ["saddr", "iif"] },
      is(0, 0),
      go("goto", denyChain("spoofed")),
    ],
  ]);
  return {
    chain: { ...chain, base: { type: "filter", hook: "prerouting", priority: priorities.spoofed, policy: "accept" } },
    rules,
  };
}

/** Each tells the reader of the nflog group by the packet mark why, then drops: the packet goes nowhere, so its mark is nobody's. */
function denials(options: PolicyOptions): ChainOfRules[] {
  const mark = (value: number): NftExpression[] => [
    { type: "immediate", to: 0, value: hostData(value) },
    { type: "meta.set", key: "mark", from: 0 },
  ];
  const byLabel = (word: number): NftExpression[] => [
    { type: "ct", key: "label", to: 0 },
    { type: "meta.set", key: "mark", from: word },
  ];
  const drop: NftExpression = { type: "verdict", verdict: { verdict: "drop" } };
  const end = (reject: boolean): (readonly [string, ...NftExpression[]])[] => [
    ...(reject
      ? ([
          ["TCP is told", loadProtocol(0), isByte(0, 6), { type: "reject", kind: "tcp-reset" }],
          ["the others, too", { type: "reject", kind: "icmpx", code: adminProhibited }],
        ] as const)
      : []),
    ["dropped", { type: "counter" }, drop],
  ];
  const log: (readonly [string, ...NftExpression[]])[] =
    options.log === undefined
      ? []
      : [
          [
            "reported, not all in a flood",
            { type: "limit", rate: options.log.perSecond, unit: 1, burst: options.log.burst, of: "packets" },
            { type: "log", group: logGroup.number, snaplen: logGroup.bytes },
          ],
        ];
  const chain = (
    reason: Parameters<typeof denyChain>[0],
    comment: string,
    reject: boolean,
    ...marking: (readonly [string, ...NftExpression[]])[]
  ): ChainOfRules =>
    chainOf(denyChain(reason), comment, [...(options.log === undefined ? [] : [...marking, ...log]), ...end(reject)]);
  const rejects = options.deny === "reject";
  return [
    chain(
      "egress",
      "the source's egress policy",
      rejects,
      ["mark 0: of no connection", ...mark(0)],
      ["mark: the decision", ...byLabel(labels.egressDecision)],
    ),
    chain(
      "ingress",
      "the destination's ingress policy",
      rejects,
      ["mark 0: of no connection", ...mark(0)],
      ["mark: the decision", ...byLabel(labels.ingressDecision)],
    ),
    ...(options.podInterfaces === undefined
      ? []
      : [
          chain("spoofed", "not the pod's own address", false, ["mark", ...mark(marks.spoofed)]),
          chain("unknown", "a pod that policy does not know", rejects, ["mark", ...mark(marks.unknownPod)]),
        ]),
    chain("unreadable", "no transport header, or no decision", false, ["mark", ...mark(marks.unreadable)]),
    ...(options.established === "recheck"
      ? [chain("cut", "a connection that would no longer be allowed", rejects, ["mark", ...mark(marks.cut)])]
      : []),
  ];
}

/** NFT_REJECT_ICMPX_ADMIN_PROHIBITED (linux/netfilter/nf_tables.h). */
const adminProhibited = 3;

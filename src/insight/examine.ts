import { type Address, familyOf } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import { baseOf, prefixFamily } from "../base/prefix.ts";
import type { Asker, KnownNode } from "./asker.ts";
import { compareCards, type HeardCard } from "./checks/cards.ts";
import { checkDns } from "./checks/dns.ts";
import { agentProblems } from "./checks/identity.ts";
import { nodeChecks } from "./checks/node-checks.ts";
import { checkPath, type PathEnds } from "./checks/paths.ts";
import type { Card, NodeFacts } from "./facts.ts";
import { distinct, type Finding } from "./finding.ts";

/** What came of looking at one node. */
export interface Examination {
  readonly node: string;
  readonly findings: readonly Finding[];
  /** What could not be looked at, or was left out. */
  readonly notes: readonly string[];
  /** Paths that were probed. */
  readonly paths: number;
}

export interface ExamineOptions {
  readonly facts: NodeFacts;
  readonly card: () => Card;
  readonly asker: Asker;
  readonly clock: Clock;
  /** DNS servers that pods use; they are asked from a pod. */
  readonly dns: readonly Address[];
  /** Other nodes to compare with and to probe; the rest is noted. */
  readonly peers: number;
}

/** One node: its state, then the others' cards beside its own, then real packets to them. */
export async function examine(options: ExamineOptions): Promise<Examination> {
  const { facts, asker, dns } = options;
  const { node } = facts;
  const notes: string[] = [];
  const findings: Finding[] = nodeChecks.flatMap((check) => check(facts));
  const others = asker.nodes.filter(({ name }) => name !== node);
  const chosen = others.slice(0, options.peers);
  if (chosen.length < others.length)
    notes.push(`${others.length - chosen.length} of ${others.length} other nodes were not probed`);
  const heard: HeardCard[] = [];
  for (const peer of chosen) {
    const card = await hear(asker, peer, options.clock);
    if ("reason" in card) findings.push(...(await silent(asker, node, peer, card.reason)));
    else heard.push(card);
  }
  findings.push(...compareCards(facts, options.card(), heard));
  let paths = 0;
  for (const peer of chosen) {
    const card = heard.find((one) => one.node === peer.name);
    for (const ends of endsOf(facts, peer, card)) {
      findings.push(...(await checkPath(asker, facts, peer, ends, { own: options.card, clock: options.clock })));
      paths++;
    }
  }
  findings.push(...(await checkDns(asker, facts, dns)));
  if (dns.length === 0) notes.push("DNS was not asked: name the pods' server with --dns ADDRESS");
  if (findings.length === 0) findings.push(...agentProblems(facts));
  return { node, findings: distinct(findings), notes, paths };
}

interface Silence {
  readonly reason: string;
  /** Milliseconds until that was known. */
  readonly took: number;
}

/** An agent that is being replaced is back within moments: milliseconds. */
const askAgainAfter = [1500, 1500];

async function hear(asker: Asker, peer: KnownNode, clock: Clock): Promise<HeardCard | Silence> {
  let card = await hearOnce(asker, peer, clock);
  for (const pause of asker.reaches ? askAgainAfter : []) {
    // Who is cut off does not refuse: waiting for that once is enough.
    if (!("reason" in card) || card.took > pause) break;
    await clock.sleep(pause);
    card = await hearOnce(asker, peer, clock);
  }
  return card;
}

async function hearOnce(asker: Asker, { name }: KnownNode, clock: Clock): Promise<HeardCard | Silence> {
  const [asked, began] = [clock.now(), clock.monotonic()];
  try {
    const card = await asker.ask(name, "card", {});
    const took = clock.monotonic() - began;
    return { ...card, skew: card.now - asked - took / 2, uncertainty: took / 2 };
  } catch (error) {
    return { reason: describeError(error), took: clock.monotonic() - began };
  }
}

/** A node whose agent does not answer: is the machine there at all? */
async function silent(asker: Asker, node: string, { name, addresses }: KnownNode, reason: string): Promise<Finding[]> {
  if (!asker.reaches) return [];
  const answers: string[] = [];
  for (const destination of addresses) {
    const { result } = await asker.ask(node, "probe", { destination, protocol: "icmp", timeout: 1000 });
    if (result === "answered") answers.push(destination);
  }
  const there = answers.length > 0;
  return [
    {
      id: "agent-away",
      severity: "error",
      node: name,
      from: node,
      subject: name,
      title: there ? `the agent of ${name} does not answer` : `${name} does not answer at all`,
      explanation: there
        ? "its pods keep talking, but nothing is mended there, no pod can be added, and this node cannot look at it"
        : "the machine is off or cut off, and its pods with it",
      evidence: [
        reason,
        ...(there ? [`${answers.join(", ")} answers ping`] : [`${addresses.join(", ")}: no answer to ping`]),
      ],
      remedy: there
        ? `start twill-agent on ${name} (or update it: older ones cannot be asked), or look at its log; twill doctor there`
        : `look at the machine ${name}, its cable, and the network between`,
    },
  ];
}

/** From a pod of this node to one of that node, a path a family; from the nodes' own tunnel ends where there are no pods. */
function endsOf({ view, tunnels }: NodeFacts, peer: KnownNode, card: HeardCard | undefined): PathEnds[] {
  const from = view.pods.find(({ kernel, hostDevice }) => kernel !== undefined && hostDevice !== undefined);
  const to = card?.pods.find(({ addresses }) => addresses.length > 0);
  return peer.subnets.flatMap((subnet): PathEnds[] => {
    const family = prefixFamily(subnet);
    const source = from?.addresses.find((address) => familyOf(address) === family);
    const pod = to?.addresses.find((address) => familyOf(address) === family);
    const tunnel = tunnels.some(({ kind }) => familyOf(kind.local) === family) ? baseOf(subnet) : undefined;
    const destination = pod ?? tunnel;
    if (destination === undefined) return [];
    return [
      {
        destination,
        ...(source === undefined || from === undefined ? {} : { from }),
        ...(pod === undefined || to === undefined ? {} : { pod: to.id }),
      },
    ];
  });
}

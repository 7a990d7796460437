import { type Address, familyOf } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import type { Asker, KnownNode } from "../asker.ts";
import type { Card, NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { type PodPlace, podId } from "../node-view.ts";
import type { ProbeFrom } from "../questions.ts";
import { type Trace, trace } from "../trace.ts";

export interface PathEnds {
  /** Absent: from the node itself. */
  readonly from?: PodPlace;
  readonly destination: Address;
  /** "namespace/name" of the pod that has it. */
  readonly pod?: string;
}

/** Milliseconds to wait for an answer; each lost probe is sent once more before it counts. */
const timeout = 1000;
/** discard (RFC 863): nobody listens there, so every live host answers with a reset. */
const closedPort = 9;

interface PathContext {
  readonly own: () => Card;
  readonly clock: Clock;
}

/** Real packets: a small one, one of full size, a TCP connection. What is lost is traced. */
export async function checkPath(
  asker: Asker,
  facts: NodeFacts,
  peer: KnownNode,
  ends: PathEnds,
  context: PathContext,
): Promise<Finding[]> {
  const small = await twice(() => traceTo(asker, facts, peer, ends, undefined));
  if (!small.ok) return pathFindings(asker, facts, peer, small);
  if (ends.from === undefined || ends.pod === undefined || facts.podMtu === undefined) return [];
  return [
    ...(await checkSize(asker, facts, peer, ends, facts.podMtu)),
    ...(await checkSums(asker, facts, peer, ends, context)),
  ];
}

const traceTo = (
  asker: Asker,
  facts: NodeFacts,
  peer: KnownNode,
  ends: PathEnds,
  size: number | undefined,
): Promise<Trace> =>
  trace(asker, {
    from: ends.from,
    to: { address: ends.destination, ...(ends.pod === undefined ? {} : { pod: { node: peer.name, id: ends.pod } }) },
    protocol: "icmp",
    timeout,
    ...(size === undefined ? {} : { size }),
    ...(ends.from === undefined ? { source: tunnelAddress(facts, familyOf(ends.destination)) } : {}),
  });

const tunnelAddress = ({ tunnels }: NodeFacts, family: 4 | 6): Address | undefined =>
  tunnels
    .flatMap(({ addresses }) => addresses.map((prefix) => prefix.split("/")[0] as Address))
    .find((address) => familyOf(address) === family);

async function twice(work: () => Promise<Trace>): Promise<Trace> {
  const first = await work();
  return first.ok ? first : work();
}

/** What a lost probe says; the findings of the node where it stopped, if that is another one. */
async function pathFindings(asker: Asker, facts: NodeFacts, peer: KnownNode, lost: Trace): Promise<Finding[]> {
  const stop = [...lost.request, ...lost.reply].find(({ verdict }) => verdict === "stops");
  const there = stop === undefined || stop.node === facts.node ? [] : await checksOf(asker, stop.node);
  const ends = `${lost.from.pod ?? lost.from.node} → ${lost.to.pod ?? lost.to.address} on ${peer.name}`;
  return [
    ...there,
    {
      id: stop === undefined ? "probe-stopped" : "path",
      severity: "error",
      node: stop?.node ?? facts.node,
      from: facts.node,
      peers: [peer.name],
      subject: `${facts.node} ${peer.name}`,
      title:
        stop === undefined
          ? `a probe to ${peer.name} is lost, and no state says why: ${lost.answer}`
          : `packets to ${peer.name} stop: ${lost.answer}`,
      explanation: "pods of these two nodes do not reach each other",
      evidence: [
        ends,
        ...(lost.lastSeen === undefined ? [] : [`last seen: ${lost.lastSeen}`]),
        ...lost.differences,
        ...lost.sightings.flatMap(({ errors }) => errors),
        ...legacyHint(facts),
      ],
      remedy: lost.remedy ?? `twill trace ${lost.from.pod ?? ""} ${lost.to.address}`,
    },
  ];
}

const legacyHint = ({ view: { legacyTables } }: NodeFacts): string[] =>
  legacyTables.length === 0
    ? []
    : [
        `iptables-legacy has tables here (${legacyTables.join(", ")}), whose rules cannot be read: iptables-legacy-save shows them`,
      ];

/** @returns nothing from a node that cannot be asked: that is said elsewhere. */
async function checksOf(asker: Asker, node: string): Promise<readonly Finding[]> {
  try {
    return await asker.ask(node, "checks", {});
  } catch {
    return [];
  }
}

async function checkSize(
  asker: Asker,
  facts: NodeFacts,
  peer: KnownNode,
  ends: PathEnds,
  mtu: number,
): Promise<Finding[]> {
  const passes = async (size: number): Promise<boolean> => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { result } = await asker.ask(facts.node, "probe", {
        ...probeFrom(ends),
        protocol: "icmp",
        size,
        timeout: 500,
      });
      if (result === "answered") return true;
    }
    return false;
  };
  if (await passes(mtu)) return [];
  const lost = await traceTo(asker, facts, peer, ends, mtu);
  if (lost.ok) return [];
  let [low, high] = [familyOf(ends.destination) === 4 ? 84 : 104, mtu];
  while (high - low > 4) {
    const middle = (low + high) >> 1;
    if (await passes(middle)) low = middle;
    else high = middle;
  }
  return [
    {
      id: "mtu",
      severity: "error",
      node: facts.node,
      peers: [peer.name],
      subject: [facts.node, peer.name].sort().join(" "),
      title: `large packets between ${facts.node} and ${peer.name} are lost`,
      explanation:
        "small packets pass: connections open, then hang; something on the way carries less than the nodes' devices say, and does not say so (an MTU black hole)",
      evidence: [`pods send up to ${mtu} bytes; about ${low} bytes pass`, lost.answer],
      remedy: `set Backend.MTU in the configuration to ${low + (facts.tunnels.length > 0 ? 50 : 0)} or less (twill config), or mend the MTU of the link between them`,
    },
  ];
}

/** TCP, where ICMP passes: its checksum is a device's work, ICMP's is not. */
async function checkSums(
  asker: Asker,
  facts: NodeFacts,
  peer: KnownNode,
  ends: PathEnds,
  { own }: PathContext,
): Promise<Finding[]> {
  const connect = () =>
    asker.ask(facts.node, "probe", { ...probeFrom(ends), protocol: "tcp", port: closedPort, timeout: 500 });
  if ((await connect()).result !== "silence") return [];
  const before = [own(), await asker.ask(peer.name, "card", {})];
  const again = await connect();
  if (again.result !== "silence") return [];
  const after = [own(), await asker.ask(peer.name, "card", {})];
  const risen = after.filter((card, index) => card.checksumErrors > (before[index]?.checksumErrors ?? 0));
  // Someone's policy, not a checksum, where nothing was counted.
  return risen.map((receiver) => {
    const sender = receiver.node === peer.name ? facts.node : peer.name;
    return {
      id: "checksum",
      severity: "error",
      node: sender,
      subject: sender,
      title: `packets from ${sender} come with wrong checksums`,
      explanation:
        "ping passes and TCP does not: a network card of the sender does not finish checksums inside the tunnel as it promised (checksum offload)",
      evidence: [
        `segments with wrong checksums, counted on ${receiver.node} while probing: ${receiver.checksumErrors} (InCsumErrors)`,
      ],
      remedy: `on ${sender}: ethtool -K ${facts.tunnels[0]?.name ?? "flannel.1"} tx off, and the same for the pods' devices and the network card; update the card's driver`,
    };
  });
}

const probeFrom = ({ from, destination }: PathEnds): Pick<ProbeFrom, "pod" | "destination" | "source"> => ({
  destination,
  ...(from === undefined ? {} : { pod: podId(from) }),
});

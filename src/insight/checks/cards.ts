import type { Address } from "../../base/address.ts";
import type { Card, NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { linkNamed } from "../kernel-view.ts";
import { podId } from "../node-view.ts";

/** Another node's card, and how far its clock is from ours, as far as the time of asking lets it be known. */
export interface HeardCard extends Card {
  /** Milliseconds, theirs minus ours. */
  readonly skew: number;
  /** Milliseconds that it may be wrong. */
  readonly uncertainty: number;
}

/** Leases, and certificates of the datastore, bear a few seconds. */
const clockTolerance = 10_000;

/** What only shows when nodes are compared. */
export function compareCards(facts: NodeFacts, own: Card, cards: readonly HeardCard[]): Finding[] {
  return [
    ...clocks(own, cards),
    ...versions(own, cards),
    ...tunnelEnds(facts, cards),
    ...duplicates(facts, own, cards),
  ];
}

function clocks({ node }: Card, cards: readonly HeardCard[]): Finding[] {
  const off = cards.filter(({ skew, uncertainty }) => Math.abs(skew) - uncertainty > clockTolerance);
  if (off.length === 0) return [];
  const finding = (where: string, evidence: readonly string[]): Finding => ({
    id: "clock",
    severity: "warning",
    node: where,
    subject: where,
    title: `the clock of ${where} is far off`,
    explanation:
      "certificates seem expired or not yet valid, so datastore and API refuse the node; logs cannot be compared",
    evidence,
    remedy: "start a time service there (chrony, systemd-timesyncd), and look at its sources",
  });
  const seconds = (skew: number) => `${Math.abs(Math.round(skew / 1000))} s ${skew < 0 ? "behind" : "ahead of"}`;
  // One against two or more: it is the one that is wrong. Among two nobody knows.
  if (cards.length > 1 && off.length === cards.length)
    return [
      finding(
        node,
        off.map((card) => `${card.node} is ${seconds(card.skew)} it`),
      ),
    ];
  return off.map((card) => finding(card.node, [`it is ${seconds(card.skew)} ${node}`]));
}

function versions(own: Card, cards: readonly HeardCard[]): Finding[] {
  const groups = Map.groupBy([own, ...cards], ({ version }) => version);
  if (groups.size < 2) return [];
  const largest = [...groups.values()].reduce((most, group) => (group.length > most.length ? group : most));
  return [...groups].flatMap(([version, group]) =>
    group === largest
      ? []
      : group.map(({ node }) => ({
          id: "version" as const,
          severity: "warning" as const,
          node,
          subject: node,
          title: `the agent of ${node} is of another version than the others`,
          explanation: "versions may differ while a cluster is being updated; a mixture that stays is not tested",
          evidence: [`${node}: ${version}; ${largest.length} others: ${largest[0]?.version}`],
          remedy: "finish the update: kubectl -n twill-system rollout status daemonset/twill-agent",
        })),
  );
}

/** What we write to, against what the other node's device has. */
function tunnelEnds({ node, neighbours }: NodeFacts, cards: readonly HeardCard[]): Finding[] {
  return cards.flatMap((card) =>
    card.tunnels.flatMap(({ device, mac }): Finding[] => {
      const wanted = neighbours.find((entry) => entry.peer === card.node && entry.device === device);
      if (wanted === undefined || wanted.mac === mac) return [];
      return [
        {
          id: "vtep-mac",
          severity: "error",
          node: card.node,
          subject: device,
          title: `the tunnel device ${device} has another Ethernet address than the other nodes know`,
          explanation:
            "they write frames to the address in the node's lease, and the device throws away what is not its own",
          evidence: [`${device} of ${card.node} has ${mac}; its lease, as ${node} has it, says ${wanted.mac}`],
          remedy: `twill doctor --fix on ${card.node}, or restart its agent`,
        },
      ];
    }),
  );
}

/** One address, two pods: of this node and any other one, or by hand inside a pod of this node. */
function duplicates({ node, view }: NodeFacts, own: Card, cards: readonly HeardCard[]): Finding[] {
  const owners = new Map<Address, string[]>();
  const add = (address: Address, owner: string) =>
    owners.set(address, [...new Set([...(owners.get(address) ?? []), owner])]);
  for (const card of [own, ...cards])
    for (const { id, addresses } of card.pods)
      for (const address of addresses) add(address, `pod ${id} on ${card.node}`);
  const taken = new Map<Address, string>();
  for (const pod of view.pods) {
    const device = pod.kernel === undefined ? undefined : linkNamed(pod.kernel, pod.ifname)?.index;
    for (const { address } of pod.kernel?.addresses.filter((one) => one.device === device) ?? []) {
      if (owners.has(address) && !pod.addresses.includes(address)) taken.set(address, podId(pod));
    }
  }
  return [...owners].flatMap(([address, names]): Finding[] => {
    const intruder = taken.get(address);
    if (names.length < 2 && intruder === undefined) return [];
    return [
      {
        id: "address-conflict",
        severity: "error",
        node,
        subject: address,
        title: `${address} has two owners: ${[...names, ...(intruder === undefined ? [] : [`pod ${intruder} on ${node}, which gave it to itself`])].join(", ")}`,
        explanation: "answers come from one of them, whoever was asked",
        evidence: names.map((name) => `${name}: given by its node's agent`),
        remedy:
          intruder === undefined
            ? "delete one of the pods: it gets another address"
            : `take it away inside the pod: ip address del ${address}/${address.includes(":") ? 128 : 32} dev eth0; or delete pod ${intruder}`,
      },
    ];
  });
}

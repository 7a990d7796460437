import { type Address, familyOf } from "../../base/address.ts";
import { addressAt, prefixFamily } from "../../base/prefix.ts";
import type { NftHook } from "../../objects/nft.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { linkNamed } from "../kernel-view.ts";
import type { ProbePacket } from "../probe-packet.ts";
import { type HookVerdict, outerPacket, passDevice, passHook } from "../ruleset.ts";

/** A packet that must pass, and the hooks that it meets. */
interface Passage {
  readonly packet: ProbePacket;
  /** In words: "TCP from pods of node2". */
  readonly what: string;
  readonly hooks: readonly NftHook[];
  readonly input?: string;
  readonly output?: string;
}

/** Peers that are looked at: rules rarely tell one from another, and each costs a walk through all rules. */
const maximumPeers = 4;

/** Rules of other programs, on any hook, that drop what pods send each other, or what carries it between nodes. */
export function checkFirewall(facts: NodeFacts): Finding[] {
  const { node } = facts;
  const found = new Map<string, string[]>();
  for (const passage of passages(facts)) {
    for (const { drops, by, table } of verdicts(facts, passage)) {
      if (drops !== "yes" || by === undefined || table === "twill") continue;
      found.set(by, [...(found.get(by) ?? []), passage.what]);
    }
  }
  return [...found].map(([by, what]) => ({
    id: "firewall",
    severity: "error",
    node,
    subject: by,
    title: `a firewall of another program drops pods' traffic: ${by}`,
    explanation:
      "in nf_tables every base chain must let a packet pass: what Twill accepts, another chain can still drop",
    evidence: [`drops ${[...new Set(what)].slice(0, 6).join(", ")}`],
    remedy: `let it accept ${facts.agent.networks.join(", ")} as source and destination${tunnelPorts(facts)}; nft -a list ruleset shows the rule`,
  }));
}

function tunnelPorts({ tunnels }: NodeFacts): string {
  const ports = [...new Set(tunnels.map(({ kind }) => kind.port))];
  return ports.length === 0 ? "" : `, and UDP ${ports.join(", ")} between the nodes`;
}

function verdicts({ view }: NodeFacts, { packet, hooks, input, output }: Passage): HookVerdict[] {
  const { kernel } = view;
  const device = (name: string) => ({ name, index: linkNamed(kernel, name)?.index ?? 0 });
  const context = {
    packet,
    ...(input === undefined ? {} : { inputDevice: device(input) }),
    ...(output === undefined ? {} : { outputDevice: device(output) }),
  };
  const ordered = hooks.map((hook) => passHook(kernel.ruleset, hook, context));
  return [
    ...(input === undefined ? [] : [passDevice(kernel.ruleset, "ingress", input, context)]),
    ...ordered,
    ...(output === undefined ? [] : [passDevice(kernel.ruleset, "egress", output, context)]),
  ];
}

function passages(facts: NodeFacts): Passage[] {
  const { view, routes, forwarding, tunnels } = facts;
  const list: Passage[] = [];
  const peers = [...new Set(routes.map(({ peer }) => peer))].slice(0, maximumPeers);
  for (const pod of view.pods.slice(0, 1)) {
    for (const own of pod.addresses) {
      for (const { peer, destination, device } of routes.filter((route) => peers.includes(route.peer))) {
        if (prefixFamily(destination) !== familyOf(own) || pod.hostDevice === undefined) continue;
        const there = addressAt(destination, 2n);
        const hooks = ["prerouting", "forward", "postrouting"] as const;
        const inside = pod.hostDevice;
        for (const protocol of ["tcp", "udp", "icmp"] as const) {
          const name = protocol.toUpperCase();
          list.push({
            packet: packetOf(own, there, protocol),
            what: `${name} to pods of ${peer}`,
            hooks,
            input: inside,
            output: device,
          });
          list.push({
            packet: packetOf(there, own, protocol),
            what: `${name} from pods of ${peer}`,
            hooks,
            input: device,
            output: inside,
          });
        }
      }
    }
  }
  for (const { kind } of tunnels) {
    const ends = [
      ...new Set(
        forwarding.filter(({ remote }) => familyOf(remote) === familyOf(kind.local)).map(({ remote }) => remote),
      ),
    ];
    for (const remote of ends.slice(0, maximumPeers)) {
      const packet = (from: Address, to: Address) => outerPacket(from, to, kind.port, 150);
      list.push({
        packet: packet(remote, kind.local),
        what: `the tunnel from ${remote}`,
        hooks: ["prerouting", "input"],
        input: kind.underlay,
      });
      list.push({
        packet: packet(kind.local, remote),
        what: `the tunnel to ${remote}`,
        hooks: ["output", "postrouting"],
        output: kind.underlay,
      });
    }
  }
  return list;
}

const packetOf = (source: Address, destination: Address, protocol: ProbePacket["protocol"]): ProbePacket => ({
  source,
  destination,
  protocol,
  size: 60,
  ...(protocol === "icmp" ? {} : { sourcePort: 40_000, destinationPort: protocol === "tcp" ? 8080 : 5353 }),
});

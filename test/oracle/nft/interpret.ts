import { type Address, familyOf } from "../../../src/base/address.ts";
import type { Ruleset } from "../../../src/insight/kernel-view.ts";
import type { FilteredPacket } from "../../../src/insight/probe-packet.ts";
import { PacketTrail } from "../../../src/insight/rule-match.ts";
import { passHook } from "../../../src/insight/ruleset.ts";
import type { NftHook, NftTableContent } from "../../../src/objects/nft.ts";
import { hostData } from "../../../src/objects/nft-data.ts";

/** A table as rules see it in the interpreter that `twill trace` uses (src/insight/ruleset.ts). */
export function rulesetOf({ chains, rules, sets }: NftTableContent): Ruleset {
  const elements = new Map(sets.map(({ set, elements }) => [set.name, elements]));
  return {
    chains,
    rules,
    sets: sets.map(({ set }) => set),
    elements: (_family, _table, set) => elements.get(set) ?? [],
  };
}

export interface Passage {
  readonly passes: boolean;
  /** The rule that dropped it. */
  readonly by?: string;
  readonly trail: PacketTrail;
}

/** How a packet comes to a node and where it goes from there, as far as policy's rules ask. */
export interface Crossing {
  readonly from: "pod" | "network" | "node";
  readonly to: "pod" | "network" | "node";
}

/** The first packet of a connection on its way through one node. @throws Error when a rule asks what is not modelled. */
export function cross(ruleset: Ruleset, packet: FilteredPacket, { from, to }: Crossing): Passage {
  const trail = new PacketTrail();
  const device = { pod: { name: "twl0123456789a", index: 7 }, network: { name: "eth0", index: 2 }, node: undefined };
  const hooks: readonly NftHook[] =
    from === "node"
      ? ["output", "postrouting"]
      : to === "node"
        ? ["prerouting", "input"]
        : ["prerouting", "forward", "postrouting"];
  const [input, output] = [device[from], to === "node" ? undefined : device[to]];
  for (const hook of hooks) {
    const { drops, by } = passHook(ruleset, hook, {
      packet,
      ...(input === undefined ? {} : { inputDevice: input }),
      ...(output === undefined || hook === "prerouting" ? {} : { outputDevice: output }),
      connection: { state: 8, status: 0 },
      // Every address here is routed to where it comes from.
      fib: () => Buffer.from(hostData(input?.index ?? 0), "hex"),
      trail,
    });
    if (drops === "perhaps") throw new Error(`${by}: not decided by the model`);
    if (drops === "yes") return { passes: false, ...(by === undefined ? {} : { by }), trail };
  }
  return { passes: true, trail };
}

/** What rules see of a first packet. @param protocol IANA number. */
export const firstPacket = (source: Address, destination: Address, protocol: number, port: number): FilteredPacket => {
  const icmp = protocol === (familyOf(source) === 4 ? 1 : 58);
  const named = icmp ? "icmp" : protocol === 6 ? "tcp" : protocol === 17 ? "udp" : protocol;
  return {
    source,
    destination,
    protocol: named,
    size: 60,
    ...(icmp ? {} : { sourcePort: 40_000, destinationPort: port }),
  };
};

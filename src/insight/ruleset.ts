import { familyOf } from "../base/address.ts";
import type { NftChain, NftHook, NftRule } from "../objects/nft.ts";
import type { Ruleset } from "./kernel-view.ts";
import type { ProbePacket } from "./probe-packet.ts";
import { matchRule, PacketTrail, type RuleContext } from "./rule-match.ts";

/** What nf_tables does with a packet at one hook. */
export interface HookVerdict {
  /** "perhaps": a rule drops it if something holds that a model cannot know. */
  readonly drops: "no" | "yes" | "perhaps";
  /** Who does: "ip filter FORWARD: rule handle 4 "no pods" drops". */
  readonly by?: string;
  /** The rule's own table, for who asks whose it is. */
  readonly table?: string;
  /** Addresses are rewritten, and by which rule. */
  readonly translates?: { readonly effect: "masquerade" | "snat" | "dnat" | "redirect"; readonly by: string };
}

type Outcome = { readonly end: "accept" | "continue" } | { readonly end: "drop"; readonly by: string };

/** Chains that jump to each other in a circle are refused by the kernel; this bounds a dump that changed underneath. */
const maximumDepth = 16;

/**
 * Every base chain of the hook, by priority: all of them must let the packet pass (nf_hook_slow). Of equal priority the one that was
 * registered last comes first (nf_hook_entries_grow).
 */
export function passHook(ruleset: Ruleset, hook: NftHook, context: RuleContext): HookVerdict {
  const families = familyOf(context.packet.source) === 4 ? ["inet", "ip"] : ["inet", "ip6"];
  const bases = ruleset.chains
    .filter((chain) => families.includes(chain.family) && chain.base?.hook === hook)
    .filter((chain) => chain.base?.type !== "nat" || context.packet.reply !== true)
    .toReversed()
    .sort((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0));
  return passChains(ruleset, bases, context);
}

/** Chains of family netdev on this device, before IP (ingress) or behind it (egress). */
export function passDevice(
  ruleset: Ruleset,
  hook: "ingress" | "egress",
  device: string,
  context: RuleContext,
): HookVerdict {
  const bases = ruleset.chains
    .filter(({ base }) => base?.hook === hook && base.devices?.includes(device))
    .sort((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0));
  return passChains(ruleset, bases, context);
}

function passChains(ruleset: Ruleset, bases: readonly NftChain[], context: RuleContext): HookVerdict {
  // Rules read what rules before them have written: policy the epoch in which it began to judge.
  const walk = new ChainWalk(ruleset, { ...context, trail: context.trail ?? new PacketTrail() });
  for (const chain of bases) {
    const outcome = walk.run(chain, 0);
    const policy = chain.base?.policy === "drop" ? `${nameOfChain(chain)}: policy drop` : undefined;
    const by = outcome.end === "drop" ? outcome.by : outcome.end === "continue" ? policy : undefined;
    if (by !== undefined) return { drops: "yes", by, table: chain.table, ...walk.translation };
  }
  return walk.perhaps === undefined
    ? { drops: "no", ...walk.translation }
    : { drops: "perhaps", by: walk.perhaps, ...walk.translation };
}

class ChainWalk {
  readonly #ruleset: Ruleset;
  readonly #context: RuleContext;
  #translates: HookVerdict["translates"];
  /** The first rule that would drop, if. */
  perhaps: string | undefined;

  constructor(ruleset: Ruleset, context: RuleContext) {
    this.#ruleset = ruleset;
    this.#context = context;
  }

  get translation(): Pick<HookVerdict, "translates"> {
    return this.#translates === undefined ? {} : { translates: this.#translates };
  }

  run(chain: NftChain, depth: number): Outcome {
    const { rules } = this.#ruleset;
    for (const rule of rules) {
      if (rule.chain !== chain.name || rule.table !== chain.table || rule.family !== chain.family) continue;
      const { matches, verdict, effect } = matchRule(this.#ruleset, rule, this.#context);
      if (matches === "no") continue;
      const sure = matches === "yes";
      if (verdict?.verdict === "drop" || effect === "reject") {
        const by = `${nameOfRule(rule)} ${effect === "reject" ? "rejects" : "drops"}`;
        if (sure) return { end: "drop", by };
        this.perhaps ??= by;
        continue;
      }
      if (effect !== undefined && sure) {
        this.#translates ??= { effect, by: nameOfRule(rule) };
        return { end: "accept" };
      }
      if (verdict === undefined) continue;
      if (verdict.verdict === "accept" && sure) return { end: "accept" };
      if (verdict.verdict === "return" && sure) return { end: "continue" };
      if (verdict.verdict !== "jump" && verdict.verdict !== "goto") continue;
      const outcome = this.#follow(chain, verdict.chain, depth);
      if (!sure) {
        if (outcome.end === "drop") this.perhaps ??= outcome.by;
        continue;
      }
      if (outcome.end !== "continue" || verdict.verdict === "goto") return outcome;
    }
    return { end: "continue" };
  }

  #follow(from: NftChain, name: string, depth: number): Outcome {
    const next = this.#ruleset.chains.find(
      (chain) => chain.name === name && chain.table === from.table && chain.family === from.family,
    );
    return next === undefined || depth >= maximumDepth ? { end: "continue" } : this.run(next, depth + 1);
  }
}

const nameOfChain = ({ family, table, name }: NftChain): string => `${family} ${table} ${name}`;

/** "ip filter FORWARD: rule handle 4 "no pods"": how `nft -a list` finds it. */
function nameOfRule({ family, table, chain, handle = 0, comment }: NftRule): string {
  return `${family} ${table} ${chain}: rule handle ${handle}${comment === undefined ? "" : ` "${comment}"`}`;
}

/** A packet between tunnel ends: the outer datagram. */
export const outerPacket = (
  source: ProbePacket["source"],
  destination: ProbePacket["source"],
  port: number,
  size: number,
): ProbePacket => ({ source, destination, protocol: "udp", sourcePort: 40_000, destinationPort: port, size });

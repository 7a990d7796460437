import type { Nft } from "../kernel/nft.ts";
import type { NftChain, NftFamily, NftHook, NftRule } from "../objects/nft.ts";
import type { NftExpression } from "../objects/nft-expression.ts";

/**
 * Something of another program on a hook that our packets pass, which drops or rejects. An accept of ours cannot overrule
 * it: in nf_tables every base chain of a hook must let a packet pass, whatever its priority.
 */
export interface ForeignDrop {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  /** Absent: the base chain's policy, for packets that no rule of it accepts. */
  readonly rule?: { readonly handle: number; readonly comment?: string };
  /** Only some packets: the rule asks for something first, or stands in a chain that a rule must jump to. */
  readonly conditional: boolean;
  /** As one line: "ip filter FORWARD: policy drop". */
  readonly text: string;
}

/** Bridge chains see a pod's packets only on a bridge, and never those between nodes. */
const families: readonly NftFamily[] = ["inet", "ip", "ip6"];

/**
 * Base chains of other tables on a hook that may drop, and the rules that do, followed through jumps. iptables-nft's tables
 * (ip filter FORWARD) are among them; the old xtables ruleset (iptables-legacy) is not in nf_tables and cannot be seen here.
 * @param own names of the tables that are ours.
 */
export function foreignDrops(nft: Nft, own: readonly string[], hook: NftHook = "forward"): ForeignDrop[] {
  const foreign = ({ family, table }: { readonly family: NftFamily; readonly table: string }): boolean =>
    families.includes(family) && !own.includes(table);
  const chains = nft.chains().filter(foreign);
  const bases = chains.filter(({ base }) => base?.hook === hook && base.type === "filter");
  if (bases.length === 0) return [];
  const rules = Map.groupBy(nft.rules().filter(foreign), chainId);
  const drops: ForeignDrop[] = [];
  const seen = new Set<string>();
  const follow = (chain: NftChain, conditional: boolean): void => {
    if (seen.has(chainId(chain))) return;
    seen.add(chainId(chain));
    for (const rule of rules.get(chainId(chain)) ?? []) {
      const always = !conditional && rule.expressions.every(isSilent);
      if (rule.expressions.some(drop)) drops.push(dropOf(rule, !always));
      for (const name of rule.expressions.map(target)) {
        const next = chains.find(
          (other) => other.name === name && other.table === chain.table && other.family === chain.family,
        );
        if (next !== undefined) follow(next, !always);
      }
    }
  };
  for (const chain of bases) {
    follow(chain, false);
    if (chain.base?.policy !== "drop") continue;
    const { family, table, name } = chain;
    drops.push({ family, table, chain: name, conditional: false, text: `${family} ${table} ${name}: policy drop` });
  }
  return drops;
}

const chainId = (of: NftChain | NftRule): string => `${of.family} ${of.table} ${"chain" in of ? of.chain : of.name}`;

function dropOf({ family, table, chain, comment, handle = 0 }: NftRule, conditional: boolean): ForeignDrop {
  const name = comment === undefined ? `handle ${handle}` : `handle ${handle} "${comment}"`;
  return {
    family,
    table,
    chain,
    rule: { handle, ...(comment === undefined ? {} : { comment }) },
    conditional,
    text: `${family} ${table} ${chain}: rule ${name} drops${conditional ? " some packets" : " every packet"}`,
  };
}

/** iptables-nft's REJECT and DROP targets are xtables code behind the expression "target"; the name opens its data. */
const targets = ["REJECT", "DROP"].map((name) => Buffer.from(`${name}\0`).toString("hex"));

const drop = (expression: NftExpression): boolean =>
  expression.type === "reject" ||
  (expression.type === "verdict" && expression.verdict.verdict === "drop") ||
  (expression.type === "raw" && expression.name === "target" && targets.some((name) => expression.data.includes(name)));

/** Matches every packet. */
const isSilent = (expression: NftExpression): boolean =>
  expression.type === "counter" ||
  expression.type === "verdict" ||
  expression.type === "reject" ||
  expression.type === "log" ||
  drop(expression);

const target = (expression: NftExpression): string | undefined =>
  expression.type === "verdict" && "chain" in expression.verdict ? expression.verdict.chain : undefined;

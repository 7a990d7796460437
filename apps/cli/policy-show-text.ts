import { sidesOf } from "../../src/compile/policy/program.ts";
import type { PolicyIndex } from "../../src/insight/policy/applied.ts";
import { describePeer, describeTrafficMatches } from "../../src/insight/policy/describe-match.ts";
import { rulePlace } from "../../src/insight/policy/explain.ts";
import type { RuleUse, RuleUses } from "../../src/insight/policy/rule-uses.ts";
import { type Direction, type Policy, type PolicyRule, policyName } from "../../src/model/policy.ts";
import type { Paint } from "./status-text.ts";
import { age } from "./table.ts";

/** All that is asked about one pod, in order. */
export interface PolicyView {
  readonly pod: string;
  readonly where: string;
  readonly directions: readonly { readonly direction: Direction; readonly tiers: ReturnType<PolicyIndex["applied"]> }[];
  /** Undefined: nobody could be asked. */
  readonly uses?: RuleUses;
}

/** What `twill policy show` prints: each direction as it is judged, from the first rule to what is left. */
export function policyShowText({ pod, where, directions, uses }: PolicyView, now: number, colours: Paint): string {
  const lines = [`${colours.strong(pod)} (${where})`];
  for (const { direction, tiers } of directions) {
    const open = tiers.length === 0;
    const head = direction === "ingress" ? "in" : "out";
    lines.push(
      "",
      colours.strong(
        `${head}: ${open ? "everything is allowed, for no policy selects it" : "the first rule that matches decides"}`,
      ),
    );
    for (const { tier, policies } of tiers) {
      lines.push(`  tier ${tier.name}`);
      for (const policy of policies) lines.push(...policyLines(policy, direction, uses, now, colours));
      const used = useText(uses?.ofTier(direction, tier.name), now, "on this node");
      lines.push(
        tier.defaultAction === "deny"
          ? `    ${colours.bad("deny")}   everything else${used}`
          : "    else what the next tier says",
      );
    }
    if (!open && tiers.at(-1)?.tier.defaultAction === "pass") lines.push(`  ${colours.good("allow")}  everything else`);
  }
  return `${lines.join("\n")}\n`;
}

function policyLines(
  policy: Policy,
  direction: Direction,
  uses: RuleUses | undefined,
  now: number,
  colours: Paint,
): readonly string[] {
  const { file, line } = policy.source ?? {};
  const where = file === undefined ? "" : ` (${file} line ${line})`;
  const head = `    ${policyName(policy.id)}${where}`;
  if (policy.broken !== undefined)
    return [head, `      ${colours.bad("deny")}   everything: it cannot be understood: ${policy.broken}`];
  const rules = policy[direction] ?? [];
  const own = policy.allowsOwnNode && direction === "egress" ? [`      ${colours.good("allow")}  to its own node`] : [];
  if (rules.length === 0) return [head, ...own, "      (no rule: it only isolates)"];
  return [head, ...own, ...rules.map((rule, index) => ruleLine(policy, rule, index, direction, uses, now, colours))];
}

function ruleLine(
  policy: Policy,
  rule: PolicyRule,
  index: number,
  direction: Direction,
  uses: RuleUses | undefined,
  now: number,
  colours: Paint,
): string {
  const [peer, own] = sidesOf(rule, direction);
  const action = { allow: colours.good("allow"), deny: colours.bad("deny "), pass: "pass ", log: "log  " }[rule.action];
  const { ruleName, line } = rulePlace(policy, direction, index);
  const parts = [
    `${direction === "ingress" ? "from" : "to"} ${peer === undefined ? "anyone" : describePeer(peer)}`,
    ...(own === undefined ? [] : [`where it is itself ${describePeer(own)}`]),
    ...(rule.traffic === undefined ? [] : [describeTrafficMatches(rule.traffic)]),
    ...(rule.notTraffic === undefined ? [] : [`but not ${describeTrafficMatches(rule.notTraffic)}`]),
    ...(rule.family === undefined ? [] : [`IPv${rule.family}`]),
  ];
  const name = ruleName === undefined ? "" : ` "${ruleName}"`;
  const at = line === undefined ? "" : ` (line ${line})`;
  return `      ${action}  ${index + 1}${name}: ${parts.join(", ")}${at}${useText(uses?.ofRule(policy, direction, index), now)}`;
}

function useText(use: RuleUse | undefined, now: number, where = ""): string {
  if (use === undefined || use.packets === 0) return "";
  const last = use.lastHit === undefined ? "" : `, last ${age(now - use.lastHit)} ago`;
  return `  [${where === "" ? "" : `${where}: `}${use.packets} packets, ${use.bytes} bytes${last}]`;
}

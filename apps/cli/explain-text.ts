import type {
  CloseRule,
  ExplainedDirection,
  ExplainedEnd,
  Explanation,
  PolicyPlace,
} from "../../src/insight/policy/explain.ts";
import type { Paint } from "./status-text.ts";

/** What `twill explain` prints: the verdict and the one rule, then what stands behind it. */
export function explainText(explanation: Explanation, colours: Paint): string {
  const { from, to, traffic, directions, verdict, exempt } = explanation;
  const lines = [`${endText(from)} → ${endText(to)}, ${traffic}`];
  const denied = directions.find(({ decision }) => decision.verdict === "deny");
  if (denied === undefined) lines.push(`${colours.good(colours.strong("allowed"))}${allowedBy(explanation)}`);
  else
    lines.push(`${colours.bad(colours.strong("denied"))} ${sideOf(denied)}: ${reasonOf(denied)}`, ...closest(denied));
  if (exempt !== undefined) return `${lines.join("\n")}\n`;
  for (const direction of directions) lines.push("", ...directionLines(direction, verdict, colours));
  return `${lines.join("\n")}\n`;
}

export const endText = ({ kind, name, address, node }: ExplainedEnd): string => {
  if (kind === "outside") return name === address ? `${address} (outside)` : `${name} (such as ${address})`;
  return `${kind === "node" ? "node " : ""}${name} (${[address, node].filter((part) => part !== undefined).join(", ")})`;
};

/** Where one part of one rule is all that is missing, that is most likely the answer. */
function closest({ close: [first], decision }: ExplainedDirection): readonly string[] {
  if (first === undefined || decision.verdict === "allow" || first.why.length !== 1) return [];
  return [`closest: ${placeText(first)}, but ${first.why[0]}`];
}

const sideOf = ({ direction, endpoint }: ExplainedDirection): string =>
  direction === "egress" ? `on the way out of ${endpoint}` : `on the way in to ${endpoint}`;

function allowedBy({ exempt, directions }: Explanation): string {
  if (exempt === "itself") return ": a pod always reaches itself";
  if (exempt === "own-node") return ": a node always reaches its own pods";
  if (exempt === "neighbour-discovery") return ": IPv6 neighbour discovery always passes";
  if (directions.length === 0) return ": neither end is a pod, so no policy is asked";
  const rules = directions.flatMap(({ by }) => (by === undefined ? [] : [placeText(by)]));
  return rules.length === 0 ? ": no policy stands between them" : ` by ${rules.join(", and by ")}`;
}

/** One sentence. */
export function reasonOf({ decision, by, policies, endpoint, direction }: ExplainedDirection): string {
  const { reason, verdict } = decision;
  switch (reason.by) {
    case "rule":
      return by === undefined ? "a rule" : placeText(by);
    case "tier":
      return policies.length === 1 && policies[0] !== undefined
        ? `${placeText(policies[0])} isolates it, and no rule of it matches`
        : `${policies[0] === undefined ? "policies" : placeText(policies[0])} and ${policies.length - 1} more isolate it, and no rule of theirs matches`;
    case "broken":
      return `${by === undefined ? "a policy" : placeText(by)} cannot be understood: ${by?.broken ?? "?"}`;
    case "own-node":
      return `between a pod and its own node, by ${by === undefined ? "a policy" : placeText(by)}`;
    case "unknown-endpoint":
      return `nothing is known of ${endpoint}'s labels, so everything is denied`;
    case "no-policy":
      if (policies.length === 0) return `no policy selects ${endpoint} for ${direction}`;
      return `${count(policies.length, "policy selects", "policies select")} it, none of their rules matches, and ${verdict === "allow" ? "what is left is allowed" : "it is denied"}`;
  }
}

const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`;

function directionLines(
  explained: ExplainedDirection,
  verdict: Explanation["verdict"],
  colours: Paint,
): readonly string[] {
  const { direction, endpoint, decision, policies, close } = explained;
  const word = decision.verdict === "allow" ? colours.good("allowed") : colours.bad("denied");
  // Said in the second line already.
  const reason = decision.verdict === "deny" ? "" : `, ${reasonOf(explained)}`;
  const head = `${direction === "egress" ? "out of" : "into"} ${endpoint}: ${word}${reason}`;
  const lines = [decision.log ? `${head} (logged)` : head];
  // An allowed flow's near misses interest nobody but where a deny rule was near.
  if (close.length > 0 && (verdict === "deny" ? decision.verdict === "deny" : true)) {
    lines.push(`  ${decision.verdict === "deny" ? "came close to letting it pass" : "came close to denying it"}:`);
    for (const rule of close) lines.push(...closeLines(rule));
  }
  if (policies.length > 0) {
    lines.push("  policies that select it, in order:");
    for (const policy of policies) {
      const broken = policy.broken === undefined ? "" : colours.bad(" (cannot be understood)");
      lines.push(`    ${placeText(policy)}${policy.tier === "default" ? "" : `, tier ${policy.tier}`}${broken}`);
    }
  }
  return lines;
}

const closeLines = (rule: CloseRule): readonly string[] => [
  `    ${placeText(rule)}`,
  ...rule.why.map((why) => `      - ${why}`),
];

/** "NetworkPolicy shop/web rule 2 (shop.yaml line 14)". */
export function placeText({ policy, rule, ruleName, file, line }: PolicyPlace): string {
  const number = rule === undefined ? "" : ` rule ${rule}`;
  const name = ruleName === undefined ? "" : ` "${ruleName}"`;
  const where = file === undefined ? "" : ` (${file}${line === undefined ? "" : ` line ${line}`})`;
  return `${policy}${number}${name}${where}`;
}

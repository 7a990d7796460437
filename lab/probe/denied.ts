import { Evaluator } from "../../src/compile/policy/evaluate.ts";
import { protocols as numbers, type PolicyModel } from "../../src/model/policy.ts";
import { reasonText } from "../../src/render/policy/reason-text.ts";
import { unansweredFaults } from "./judge.ts";
import { type PairResult, type Protocol, protocols, type Verdict } from "./result.ts";

/**
 * What policy denies is as it should be: no fault. Asked of the policies themselves, one after the other, not of what any agent made of
 * them: a path that an agent closes without a policy's saying so stays a fault.
 */
export function withDenied(results: readonly PairResult[], model: PolicyModel): PairResult[] {
  const evaluator = new Evaluator(model);
  return results.map((result) => {
    if (result.relation === "lo" || result.faults.length === 0) return result;
    const verdicts = Object.fromEntries(
      protocols.map((protocol) => [protocol, verdictOf(evaluator, result, protocol)]),
    ) as Record<Protocol, Verdict>;
    const others = result.faults.slice(unansweredFaults(result.verdicts).length);
    return { ...result, verdicts, faults: [...unansweredFaults(verdicts), ...others] };
  });
}

/** Type 8, code 0 (RFC 792); type 128, code 0 (RFC 4443). */
const echo = { 4: { protocol: numbers.icmp, port: 8 << 8 }, 6: { protocol: numbers.icmpv6, port: 128 << 8 } } as const;

function verdictOf(evaluator: Evaluator, { from, to, family, verdicts, ports }: PairResult, name: Protocol): Verdict {
  const verdict = verdicts[name];
  const [source, destination] = [from.addresses[family], to.addresses[family]];
  if (verdict.outcome === "connected" || source === undefined || destination === undefined) return verdict;
  const traffic = name === "icmp" ? echo[family] : { protocol: numbers[name], port: ports?.[name] ?? 0 };
  const { verdict: said, egress, ingress } = evaluator.evaluate({ source, destination, ...traffic });
  const denying = [...egress, ...ingress].find(({ decision }) => decision.verdict === "deny");
  if (said === "allow" || denying === undefined) return verdict;
  return { outcome: "denied", by: reasonText(denying.decision) };
}

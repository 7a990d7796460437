import { policyName } from "../../model/policy.ts";
import type { Decision } from "../../model/policy-state.ts";

/** For people who look at `nft list table inet twill`: "deny ingress: NetworkPolicy shop/web rule 2". */
export function reasonText({ direction, verdict, reason }: Decision): string {
  const who = ((): string => {
    switch (reason.by) {
      case "rule":
        return `${policyName(reason.policy)} rule ${reason.rule + 1}`;
      case "tier":
        return `tier ${reason.tier}, no rule`;
      case "broken":
        return `${policyName(reason.policy)} is broken`;
      case "own-node":
        return `${policyName(reason.policy)}, own node`;
      case "no-policy":
        return "no policy";
      case "unknown-endpoint":
        return "labels unknown";
    }
  })();
  return `${verdict} ${direction}: ${who}`;
}

import type { Problem } from "../../../src/base/problem.ts";

/** The condition NetworkUnavailable of a Node, as this agent wants it. */
export interface NetworkCondition {
  readonly status: "True" | "False";
  /** One word in CamelCase. */
  readonly reason: string;
  readonly message: string;
}

export interface NodeFacts {
  /** What keeps pods from being added; empty: nothing. */
  readonly waitingFor: readonly string[];
  /** This node's own, not those of other nodes that it noticed. */
  readonly problems: readonly Problem[];
  readonly subnets: readonly string[];
  readonly backend: string | undefined;
}

/** API servers take more; a table of conditions does not get better by it. */
const longestMessage = 1000;

/** What the condition says is what `twill status` says: the same problems, the same remedies. */
export function networkCondition({ waitingFor, problems, subnets, backend }: NodeFacts): NetworkCondition {
  if (waitingFor.length === 0) {
    return {
      status: "False",
      reason: "TwillIsUp",
      message: `pods get addresses of ${subnets.join(" and ")}, backend ${backend ?? "unknown"}`,
    };
  }
  const cause = problems.find(({ severity, reason }) => severity === "error" && reason !== undefined);
  const waiting = `waiting for ${waitingFor.join("; ")}`;
  return {
    status: "True",
    reason: cause?.reason ?? "TwillIsNotReady",
    message: (cause === undefined ? waiting : `${cause.message}: ${cause.remedy}`).slice(0, longestMessage),
  };
}

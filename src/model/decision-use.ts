import type { Decision, DecisionNumber } from "./policy-state.ts";

/** How often a decision was taken on one node. */
export interface DecisionUse {
  readonly number: DecisionNumber;
  readonly decision: Decision;
  /** First packets of connections, and all that were denied; since the kernel has the decision, or the agent watches it. */
  readonly packets: number;
  readonly bytes: number;
  /** When it was last seen to be taken, milliseconds since 1970. */
  readonly lastHit?: number;
}

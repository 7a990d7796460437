import type { Direction } from "../../model/policy.ts";
import type { Decision, DecisionNumber } from "../../model/policy-state.ts";

/** What one node holds for one flow: the rows that decide, read back from its kernel. */
export interface HeldRows {
  readonly node: string;
  /** Absent: no policy is in force there, so nothing is held and everything passes. */
  readonly rows?: readonly HeldRow[];
}

/** Of a pod of that node, in one direction. */
export interface HeldRow {
  readonly direction: Direction;
  /** As the agent compiled it. */
  readonly decision: Decision;
  readonly number: DecisionNumber;
  /** What its element counted: first packets of connections, and all that were denied. Absent: the kernel has no such element. */
  readonly packets?: number;
  readonly bytes?: number;
  /** Where the kernel has other elements than it should, in words. Empty: it holds what it should. */
  readonly differences: readonly string[];
}

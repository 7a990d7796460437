import type { Prefix } from "../../../src/base/prefix.ts";

/** What the agent knows at this moment and every pod depends on. Read anew for each call. */
export interface CniContext {
  /** The node's own subnets, at most one a family. Empty until the node has some. */
  readonly subnets: readonly Prefix[];
  /** Bytes: what the backend leaves. */
  readonly podMtu: number;
  /** What pods may send, where that is less (PodMtu.sends). */
  readonly podSendMtu?: number;
  /** Why no pod can be added now. Absent: the node is ready. */
  readonly notReady?: NotReady;
}

export interface NotReady {
  readonly message: string;
  readonly remedy: string;
  /** Pods that run may be cut off too (CNI's STATUS code 51 instead of 50). */
  readonly limited?: boolean;
}

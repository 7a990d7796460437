import type { Lease } from "../model/network.ts";
import type { NodeState } from "../model/node-state.ts";
import { Compilation } from "./compilation.ts";
import type { CompileInput } from "./own-state.ts";

/**
 * What this node should be, from the cluster as it is now: a function of its arguments, never of what was before. The
 * order of the leases does not matter; the own lease may be among them. Never throws for what a peer says: a bad lease
 * becomes a problem that names its node, and the rest stands.
 */
export function compile(input: CompileInput, leases: readonly Lease[]): NodeState {
  const compilation = new Compilation(input);
  compilation.patch(new Map(leases.map((lease) => [lease.node, lease])));
  return compilation;
}

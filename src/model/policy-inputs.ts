import type { EndpointName, PolicyModel } from "./policy.ts";

/**
 * Which entries of a PolicyModel are other than before: there, gone, or changed. What they are now stands in the model; what they
 * were, whoever needs it has kept.
 */
export interface PolicyModelChange {
  readonly namespaces: ReadonlySet<string>;
  readonly endpoints: ReadonlySet<EndpointName>;
  readonly nodes: ReadonlySet<string>;
  /** By name of the tier. */
  readonly tiers: ReadonlySet<string>;
  /** By `policyName(id)`. */
  readonly policies: ReadonlySet<string>;
}

/**
 * The model as it is now, and its changes. `model` is one live object with the same maps for ever: entries are replaced, never
 * changed in place, so an entry that a reader keeps stays as it was.
 */
export interface PolicyInputs {
  readonly model: PolicyModel;
  /** What changed since the last call; undefined: nothing. One reader. */
  takeChange(): PolicyModelChange | undefined;
}

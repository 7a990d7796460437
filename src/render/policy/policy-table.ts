import type { PolicyState } from "../../model/policy-state.ts";
import type { NftTableContent } from "../../objects/nft.ts";
import type { PolicyOptions } from "./options.ts";
import { PolicyRendering } from "./policy-rendering.ts";

/** Everything that policy puts into table `inet twill`, where nothing changes afterwards. */
export const policyTable = (state: PolicyState, options: PolicyOptions): NftTableContent =>
  new PolicyRendering(options).table(state);

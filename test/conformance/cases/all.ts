import type { ConformanceCase } from "../case.ts";
import { changeCases } from "./changes.ts";
import { clusterPolicyCases } from "./cluster-policies.ts";
import { directionCases } from "./directions.ts";
import { furtherCases, type Surroundings } from "./further.ts";
import { networkCases } from "./networks.ts";
import { portCases } from "./ports.ts";
import { selectorCases } from "./selectors.ts";

/** Every case that runs wherever the matrix does. */
export const casesOf = (surroundings: Surroundings): readonly ConformanceCase[] => [
  ...selectorCases,
  ...directionCases,
  ...portCases,
  ...networkCases(surroundings.addressesOf),
  ...clusterPolicyCases,
  ...changeCases,
  ...furtherCases(surroundings),
];

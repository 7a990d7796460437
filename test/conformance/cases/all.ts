import type { ConformanceCase } from "../case.ts";
import { clusterPolicyCases } from "./cluster-policies.ts";
import { directionCases } from "./directions.ts";
import { type AddressesOf, networkCases } from "./networks.ts";
import { portCases } from "./ports.ts";
import { selectorCases } from "./selectors.ts";

/** Every case that runs wherever the matrix does. */
export const casesOf = (addresses: AddressesOf): readonly ConformanceCase[] => [
  ...selectorCases,
  ...directionCases,
  ...portCases,
  ...networkCases(addresses),
  ...clusterPolicyCases,
];

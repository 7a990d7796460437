import { parsePrefix } from "../../src/base/prefix.ts";
import type { NetworkRange } from "../../src/model/network.ts";

/** 10.0.0.0/8 with SubnetMin 10.0.0.0: every subnet of that length. */
export const tenSlashEight = (subnetLength: number): NetworkRange => ({
  network: parsePrefix("10.0.0.0/8"),
  subnetLength,
  subnetMin: parsePrefix(`10.0.0.0/${subnetLength}`),
  subnetMax: parsePrefix(`10.255.255.255/${subnetLength}`),
});

import type { Family } from "../../base/address.ts";

/** The maps of docs/design/services.md, by their names in the kernel. */
export const serviceSets = {
  frontends: { 4: "frontends4", 6: "frontends6" },
  nodePorts: { 4: "node_ports4", 6: "node_ports6" },
  nodeAddresses: { 4: "node_addresses4", 6: "node_addresses6" },
  clusterAddresses: { 4: "cluster_addresses4", 6: "cluster_addresses6" },
  endpoints: { 4: "endpoints4", 6: "endpoints6" },
  members: { 4: "members4", 6: "members6" },
  affinity: { 4: "affinity4", 6: "affinity6" },
  sourceRanges: { 4: "source_ranges4", 6: "source_ranges6" },
  localEndpoints: { 4: "local_endpoints4", 6: "local_endpoints6" },
  pools: "pools",
  admitted: "admitted",
  dice: "dice",
  affine: "affine",
  /** By the map of pools that they are the second step of. */
  ways: { pools: "ways", admitted: "ways_admitted", dice: "ways_drawn", affine: "ways_remembered" },
} as const;

/** Maps of pools: what is done first, then if the client is in range, then if it had no endpoint; and behind the choice. */
export type Stage = keyof typeof serviceSets.ways;

/** Who asks. "node": this machine itself, from the output hook. */
export type Asker = "pod" | "node" | "outside";

export const askedChain = (family: Family, asker: Asker): string => `service${family}_${asker}`;
export const guardedChain = (family: Family): string => `service${family}_guarded`;
export const affineChain = (family: Family): string => `service${family}_affine`;
export const rememberChain = (family: Family, seconds: number): string => `service${family}_remember_${seconds}`;
export const dieChain = (family: Family, faces: number): string => `service${family}_d${faces}`;
export const refuseChain = "service_refuse";
export const dropChain = "service_drop";

import type { Address } from "../../src/base/address.ts";
import type { KubernetesObject } from "../oracle/objects.ts";
import type { Answer, Probe } from "./probe.ts";

/** Where the matrix can run: pods a, b, c in namespaces x, y, z, each with addresses of both families and ports 80 and 81 served. */
export interface ConformanceCluster {
  readonly name: string;
  /** By name: of the matrix' pods, of nodes, and "outside". */
  addressesOf(party: string): readonly Address[];
  readonly nodes: readonly string[];
  /** Whether packets find a way between pods and this party, but for policy. */
  isReached(party: string): boolean;
  /** On which a pod of the matrix runs. */
  nodeOf(pod: string): string;
  /** Writes them as a person would; in force when it resolves, where the cluster can know that. */
  apply(objects: readonly KubernetesObject[]): Promise<void>;
  remove(objects: readonly KubernetesObject[]): Promise<void>;
  /** All labels of a pod, by name. */
  relabel(pod: string, labels: Readonly<Record<string, string>>): Promise<void>;
  probe(probes: readonly Probe[], expected: (probe: Probe) => Answer): Promise<readonly Answer[]>;
  /**
   * Milliseconds within which what was applied is in force everywhere; 0: at once. A difference that is gone by then is none.
   */
  readonly settles: number;
  close(): Promise<void>;
}

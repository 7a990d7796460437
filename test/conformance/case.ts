import type { KubernetesObject } from "../oracle/objects.ts";
import type { Answer, Probe } from "./probe.ts";

/** One situation: what is applied, and by a rule written by hand what every probe must then answer. */
export interface Step {
  readonly apply?: readonly KubernetesObject[];
  readonly remove?: readonly KubernetesObject[];
  /** All labels of pods, by the pods' names. */
  readonly relabel?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Between pods of the matrix. True: connected. False: timed out. */
  readonly allows: (cell: MatrixCell) => boolean;
  /** Beyond the matrix: nodes, the outside, ports that nobody serves. */
  readonly further?: readonly (Probe & { readonly expected: Answer })[];
}

export interface ConformanceCase {
  /** Unique. */
  readonly name: string;
  /** Each begins with what the one before left behind. */
  readonly steps: readonly Step[];
}

export interface MatrixCell extends Probe {
  readonly source: Place;
  readonly destination: Place;
}

export interface Place {
  readonly namespace: string;
  readonly pod: string;
}

export const oneStep = (name: string, apply: readonly KubernetesObject[], allows: Step["allows"]): ConformanceCase => ({
  name,
  steps: [{ apply, allows }],
});

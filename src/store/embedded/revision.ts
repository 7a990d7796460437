import type { Revision } from "../datastore.ts";
import type { StoreState } from "./tables.ts";

/** "INCARNATION.NUMBER": of another file, or from before a restored backup, it equals nothing here. */
export function revisionText(state: Pick<StoreState, "incarnation">, number: number): Revision {
  return `${state.incarnation}.${number}` as Revision;
}

/** The number when the revision is one of this file's, else undefined. */
export function revisionNumber(state: StoreState, revision: Revision): number | undefined {
  const [incarnation, digits] = revision.split(".");
  if (incarnation !== state.incarnation || digits === undefined || !/^\d{1,15}$/.test(digits)) return undefined;
  const number = Number(digits);
  return number <= state.revision ? number : undefined;
}

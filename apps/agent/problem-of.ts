import type { TwillError } from "../../src/base/errors.ts";
import type { Problem } from "../../src/base/problem.ts";

/** An error as `twill status` shows it: what it concerns, what is wrong, what to do. */
export const problemOf = (subject: string, error: TwillError, reason?: string): Problem => ({
  severity: "error",
  subject,
  message: error.describe(),
  remedy: error.remedy ?? "the agent tries again by itself",
  ...(reason === undefined ? {} : { reason }),
});

/** Told one by one; a datastore full of garbage must not bury everything else. */
const mostUndecodable = 5;

/** Objects of nodes that cannot be read, by name. Their last good values stay in force. */
export function undecodableProblems(undecodable: ReadonlyMap<string, TwillError>): readonly Problem[] {
  const names = [...undecodable.keys()].sort();
  const rest = names.slice(mostUndecodable);
  const told = names.slice(0, mostUndecodable).flatMap((name) => {
    const error = undecodable.get(name);
    return error === undefined ? [] : [problemOf(`node ${name}`, error)];
  });
  if (rest.length === 0) return told;
  const some = `${rest.slice(0, 3).join(", ")}${rest.length > 3 ? "…" : ""}`;
  const message = `the objects of ${rest.length} more cannot be read: ${some}`;
  return [...told, { severity: "error", subject: "nodes", message, remedy: "mend or delete them, as those above" }];
}

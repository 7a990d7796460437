import type { TwillError } from "../../src/base/errors.ts";
import type { Problem } from "../../src/base/problem.ts";

/** An error as `twill status` shows it: what it concerns, what is wrong, what to do. */
export const problemOf = (subject: string, error: TwillError): Problem => ({
  severity: "error",
  subject,
  message: error.describe(),
  remedy: error.remedy ?? "the agent tries again by itself",
});

import { readFileSync } from "node:fs";
import { describeError, TwillError } from "../../base/errors.ts";

/**
 * A certificate, key or token: given in the configuration, or kept in a file. A file is read at each use, so that one
 * that is rotated (a projected service account token: every hour) is used at once; that costs microseconds a request.
 */
export interface Material {
  /** @throws TwillError `unavailable` when the file cannot be read, and never could be. */
  read(): string;
}

export const given = (text: string): Material => ({ read: () => text });

/** `what`: "service account token". White space at the ends does not count. */
export function file(path: string, what: string): Material {
  let last: string | undefined;
  return {
    read: () => {
      try {
        const text = readFileSync(path, "utf8").trim();
        // A file that is written in place is empty for a moment.
        if (text !== "") last = text;
      } catch (cause) {
        if (last === undefined) throw unreadable(path, what, describeError(cause), cause);
      }
      if (last === undefined) throw unreadable(path, what, "it is empty");
      return last;
    },
  };
}

const unreadable = (path: string, what: string, why: string, cause?: unknown): TwillError =>
  new TwillError("unavailable", `the ${what} cannot be read: ${why}`, {
    operation: "read",
    object: path,
    remedy: "make that file readable for this process",
    cause,
  });

import { parseAllDocuments } from "yaml";
import { TwillError } from "../../base/errors.ts";
import { type JsonDocument, plainValue } from "../../base/json.ts";
import { JsonError, positionAt } from "../../base/json-error.ts";
import { mistakeOf } from "./mistake.ts";
import { YamlTree } from "./tree.ts";

const MAX_LENGTH = 16 << 20;

/**
 * The documents of a YAML stream (YAML 1.2 section 9), empty ones left out; JSON is YAML, too. Their nodes know where in the whole text
 * they stand, so whatever is wrong with one can be pointed at.
 * @throws JsonError (`invalid`) naming file, line and what would be right.
 */
export function parseYamlStream(input: string, source: string): readonly JsonDocument[] {
  if (input.length > MAX_LENGTH) {
    throw new TwillError("invalid", `${input.length} characters long; at most ${MAX_LENGTH} are read`, {
      operation: "read",
      object: source,
      remedy: "check that it is the right file",
    });
  }
  const text = input.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const about = { text, source, code: "invalid" } as const;
  refuseInvisible(about);
  const found = compose(text);
  for (const { errors, warnings } of found) {
    const [first] = [...errors, ...warnings];
    if (first !== undefined) throw mistakeOf(about, first);
  }
  return found.flatMap((document) => {
    const root = new YamlTree(about, document).root();
    return root === undefined ? [] : [{ ...about, root }];
  });
}

/** The same as plain values, as JSON.parse would give them, each with the line on which it begins. @throws JsonError. */
export const parseYaml = (
  input: string,
  source: string,
): readonly { readonly value: unknown; readonly line: number }[] =>
  parseYamlStream(input, source).map(({ text, root }) => ({
    value: plainValue(root),
    line: positionAt(text, root.start).line,
  }));

/** One set of rules for all documents, whatever version they say they are of: "yes" is a text, as for Kubernetes. */
function compose(text: string) {
  const documents = parseAllDocuments(text, { schema: "core", merge: true, prettyErrors: false });
  return Array.isArray(documents) ? documents : [];
}

/** Section 5.1: but for tab and line ends, a text in YAML has no control characters. */
function refuseInvisible(document: Omit<JsonDocument, "root">): void {
  const match = /[^\P{Cc}\t\n\x85]/u.exec(document.text);
  if (match === null) return;
  const code = match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  const span = { start: match.index, end: match.index + 1 };
  throw new JsonError(
    document,
    span,
    `there is U+${code}, which cannot be seen`,
    "remove it, or write an escape in double quotes",
  );
}

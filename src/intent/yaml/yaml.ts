import { TwillError } from "../../base/errors.ts";
import { type JsonDocument, plainValue } from "../../base/json.ts";
import { JsonError, positionAt } from "../../base/json-error.ts";
import { Cursor } from "./cursor.ts";
import { YamlParser } from "./parser.ts";

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
  const document = { text, source, code: "invalid" } as const;
  refuseInvisible(document);
  return parts(text).flatMap(({ start, end }) => {
    const cursor = new Cursor(document, start, end);
    cursor.skipToContent();
    return cursor.atEnd ? [] : [{ ...document, root: new YamlParser(cursor).document() }];
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

interface Part {
  readonly start: number;
  readonly end: number;
}

/**
 * "---" and "..." at the start of a line end a document wherever they stand, even in a block of text (section 9.1.2). Directives
 * ("%YAML 1.2") say nothing that is needed here.
 */
function parts(text: string): readonly Part[] {
  const found: Part[] = [];
  let start = 0;
  for (const match of text.matchAll(/^(?:---(?=\s|$)|\.\.\.(?=\s|$)[^\n]*)/gm)) {
    found.push({ start, end: match.index });
    start = match.index + match[0].length;
  }
  found.push({ start, end: text.length });
  return found.map((part) => ({ ...part, start: part.start + directives(text.slice(part.start, part.end)) }));
}

/** How much of a document's beginning they take. */
function directives(text: string): number {
  const lead = /^(?:[ \t]*(?:#[^\n]*)?\n|%[^\n]*(?:\n|$))*/.exec(text)?.[0] ?? "";
  return /^%/m.test(lead) ? lead.length : 0;
}

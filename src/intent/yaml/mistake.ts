import type { YAMLError } from "yaml";
import type { JsonDocument, JsonSpan } from "../../base/json.ts";
import { JsonError } from "../../base/json-error.ts";

type About = Omit<JsonDocument, "root">;

/** What the library found, said so that a person knows what to write instead. */
export function mistakeOf(about: About, { code, pos, message }: YAMLError): JsonError {
  const { text } = about;
  const start = Math.min(pos[0], text.length);
  const span = { start, end: Math.max(start + 1, Math.min(pos[1], text.length)) };
  const found = text.slice(span.start, span.end);
  const say = (what: string, remedy: string, place: JsonSpan = span) => new JsonError(about, place, what, remedy);
  switch (code) {
    case "RESOURCE_EXHAUSTION":
      return say("nested more than 100 deep", "check that it is the right file");
    case "TAB_AS_INDENT":
      return say("a tab indents this line", "use spaces");
    case "DUPLICATE_KEY":
      return say(`the key "${found}" stands twice in one mapping`, "keep one of the two");
    case "BAD_DQ_ESCAPE":
      return say(
        `${message.replace(/^.* /, "")} means nothing in double quotes`,
        "write \\\\ for a backslash, or use single quotes",
      );
    case "BAD_SCALAR_START":
      return say(`no text begins with ${found}`, "put it in quotes");
    case "TAG_RESOLVE_FAILED":
      return say(`the tag ${found} is not known`, "remove it");
    case "UNEXPECTED_TOKEN": {
      if (message.startsWith("Unexpected block-seq-ind"))
        return say("a list stands behind its field", "begin it on the next line");
      const rest = restOfLine(text, span.start);
      return say(
        "after the end of this value nothing may follow",
        `remove ${quoted(text.slice(rest.start, rest.end))}, or put it behind a #`,
        rest,
      );
    }
    case "BAD_INDENT": {
      const kind = /Flow (sequence|map)/.exec(message)?.[1];
      if (kind === undefined)
        return say("this is indented otherwise than what it stands beside", "give it the same indentation");
      const [open, close] = kind === "sequence" ? ["[", "]"] : ["{", "}"];
      return say(`the ${open} that opens here is never closed`, `add ${close}`, openBracket(text, span.start));
    }
    case "MISSING_CHAR":
      if (/quote$/.test(message))
        return say("the quotes that open here are never closed", "close them", openQuote(text, span.start));
      if (found.startsWith("#"))
        return say("a comment begins behind white space", "put it behind a # with a space before");
      return strayLine(about, span.start, message);
    case "MULTILINE_IMPLICIT_KEY":
    case "BLOCK_AS_IMPLICIT_KEY":
      return strayLine(about, span.start, message);
    default:
      return say(message, "compare it with an example");
  }
}

/** The library took a line, or that and the next, for a key: which of the two is wrong, and how? */
function strayLine(about: About, at: number, message: string): JsonError {
  const { text } = about;
  const first = lineAt(text, at);
  const second = lineAt(text, Math.min(first.lineEnd + 1, text.length));
  const item = {
    what: "an item of a list stands among fields",
    remedy: "indent it below the field whose list it is in",
  };
  const wrong = (place: JsonSpan, { what, remedy }: typeof item) => new JsonError(about, place, what, remedy);
  if (first.isItem && at <= first.start) return wrong(first, item);
  if (!/:(?:\s|$)/.test(first.words))
    return wrong(first, { what: `${quoted(first.words)} is no field: it has no colon`, remedy: "write NAME: VALUE" });
  if (/: .*:(?:\s|$)/.test(first.words)) {
    const remedy = 'put the text in quotes if ": " belongs to it';
    return wrong(restOfLine(text, at), { what: "a second field begins on the line of the first", remedy });
  }
  if (second.start === text.length) return new JsonError(about, first, message, "compare it with an example");
  if (second.isItem) return wrong(second, item);
  return wrong(second, {
    what: "this is indented deeper than the field above",
    remedy: "indent it like the field above",
  });
}

interface Line extends JsonSpan {
  readonly lineEnd: number;
  readonly words: string;
  readonly isItem: boolean;
}

/** The line on which the offset stands, without its indent. */
function lineAt(text: string, at: number): Line {
  const begin = text.lastIndexOf("\n", at - 1) + 1;
  const newline = text.indexOf("\n", begin);
  const lineEnd = newline < 0 ? text.length : newline;
  const words = text.slice(begin, lineEnd).trim();
  const start = words === "" ? lineEnd : text.indexOf(words, begin);
  return { start, end: Math.max(start + 1, start + words.length), lineEnd, words, isItem: /^-(?: |$)/.test(words) };
}

function restOfLine(text: string, start: number): JsonSpan {
  const newline = text.indexOf("\n", start);
  const end = start + text.slice(start, newline < 0 ? text.length : newline).trimEnd().length;
  return { start, end: Math.max(end, start + 1) };
}

/** The last bracket before the offset that nothing closes: the library points behind what is open. */
function openBracket(text: string, before: number): JsonSpan {
  let closed = 0;
  for (let at = Math.min(before, text.length) - 1; at >= 0; at--) {
    if (/[\]}]/.test(text.charAt(at))) closed++;
    else if (/[[{]/.test(text.charAt(at)) && closed-- === 0) return { start: at, end: at + 1 };
  }
  return { start: 0, end: 1 };
}

function openQuote(text: string, before: number): JsonSpan {
  const part = text.slice(0, before);
  const start = Math.max(part.lastIndexOf('"'), part.lastIndexOf("'"), 0);
  return { start, end: start + 1 };
}

const quoted = (words: string): string => JSON.stringify(words.slice(0, 60));

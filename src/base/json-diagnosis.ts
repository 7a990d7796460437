import { positionAt } from "./json-error.ts";

/** What the parser of json.ts wanted where it had to stop. */
export type Expectation =
  | { readonly expected: "value"; readonly key?: string; readonly opener?: number; readonly comma?: number | undefined }
  | { readonly expected: "key"; readonly opener: number; readonly comma: number | undefined }
  | { readonly expected: "new-key"; readonly key: string; readonly keySpan: Span; readonly first: Span }
  | { readonly expected: "colon"; readonly key: string }
  | { readonly expected: "separator"; readonly opener: number; readonly previous: Span; readonly key?: string }
  | { readonly expected: "string" | "escape"; readonly start: number }
  | { readonly expected: "end" };

interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Diagnosis extends Span {
  readonly message: string;
  /** What would be right. */
  readonly remedy: string;
}

/** Says of a text that is not JSON at `at` what is wrong there and what would be right. Only called when it is too late for speed. */
export function diagnose(text: string, at: number, expectation: Expectation): Diagnosis {
  switch (expectation.expected) {
    case "string":
      return unfinishedString(text, at, expectation.start);
    case "escape":
      return wrongEscape(text, at);
    case "new-key": {
      const { line } = positionAt(text, expectation.first.start);
      return {
        ...expectation.keySpan,
        message: `"${short(expectation.key)}" stands twice in one object, first in line ${line}`,
        remedy: "keep one of the two",
      };
    }
  }
  const foreign = foreignSyntax(text, at);
  if (foreign !== undefined) return foreign;
  switch (expectation.expected) {
    case "value":
      return missingValue(text, at, expectation);
    case "key":
      return missingKey(text, at, expectation);
    case "colon":
      return missingColon(text, at, expectation.key);
    case "separator":
      return missingSeparator(text, at, expectation);
    case "end":
      return afterTheEnd(text, at);
  }
}

type Expecting<K extends Expectation["expected"]> = Extract<Expectation, { readonly expected: K }>;

/** What JSON has not, wherever it stands: comments, byte order mark, typographic quotes and spaces. */
function foreignSyntax(text: string, at: number): Diagnosis | undefined {
  const rest = text.slice(at, at + 200);
  const comment = /^(?:\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|#[^\n]*)/.exec(rest)?.[0].trimEnd();
  if (comment !== undefined) {
    return {
      start: at,
      end: at + comment.length,
      message: "JSON has no comments",
      remedy: `remove \`${short(comment)}\``,
    };
  }
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  const here = { start: at, end: at + character.length };
  if (character === "\ufeff") {
    const message = at === 0 ? "the text begins with a byte order mark" : "there is a byte order mark in the text";
    return { ...here, message, remedy: "save it as UTF-8 without BOM" };
  }
  if (/[“”„‟‘’«»]/.test(character)) {
    return { ...here, message: `${character} is a typographic quote`, remedy: 'use the plain double quote "' };
  }
  // White space to a person, but not to RFC 8259 section 2, and control characters that no one sees.
  if (at < text.length && /[\s\p{C}]/u.test(character) && !/[ \t\r\n]/.test(character)) {
    return { ...here, message: `there is ${codePoint(character)}, which cannot be seen`, remedy: "remove it" };
  }
  return undefined;
}

function missingValue(text: string, at: number, { key, opener, comma }: Expecting<"value">): Diagnosis {
  const wanted = key === undefined ? "a value" : `the value of "${short(key)}"`;
  if (at >= text.length) {
    if (text.trim() === "") {
      return { start: at, end: at, message: "the text is empty", remedy: "write at least {}" };
    }
    if (opener !== undefined) return unclosed(text, at, opener);
    return { start: at, end: at, message: `the text ends where ${wanted} should stand`, remedy: "complete it" };
  }
  const character = text[at] ?? "";
  if (character === "]" && comma !== undefined) return trailingComma(comma, "]");
  if (/[,}\]:]/.test(character)) {
    const remedy = key === undefined ? "remove it or write a value before it" : "write a value before it";
    return { start: at, end: at + 1, message: `${wanted} is missing before ${character}`, remedy };
  }
  const quoted = singleQuoted(text, at);
  if (quoted !== undefined) return quoted;
  const token = /^[^\s,\]}{["]+/.exec(text.slice(at, at + 200))?.[0] ?? character;
  return { start: at, end: at + token.length, message: `\`${short(token)}\` is no JSON value`, remedy: instead(token) };
}

/** What the writer of a wrong word or number meant. */
function instead(token: string): string {
  const lower = token.toLowerCase();
  if (lower === "true" || lower === "false" || lower === "null") return `write ${lower} in lower case`;
  if (/^(yes|on)$/.test(lower)) return "write true";
  if (/^(no|off)$/.test(lower)) return "write false";
  if (/^(none|nil|undefined)$/.test(lower)) return "leave the field out";
  if (/^[+-]?(nan|infinity|inf)$/.test(lower)) return "JSON has finite numbers only; write one";
  if (/^0x[0-9a-f]+$/.test(lower)) return `write ${Number.parseInt(lower, 16)}`;
  if (/^[+-]?0[0-9]+$/.test(token)) return `write ${Number(token)}, without leading zeros`;
  if (/^\+[0-9.]+$/.test(token)) return `write ${token.slice(1)}, without +`;
  if (/^-?\.[0-9]+$/.test(token)) return `write ${token.replace(".", "0.")}`;
  if (/^-?[0-9]+\.$/.test(token)) return `write ${token.slice(0, -1)}`;
  return `write "${short(token)}" in double quotes, if a text is meant`;
}

function missingKey(text: string, at: number, { opener, comma }: Expecting<"key">): Diagnosis {
  if (at >= text.length) return unclosed(text, at, opener);
  const character = text[at] ?? "";
  if (character === "}" && comma !== undefined) return trailingComma(comma, "}");
  const quoted = singleQuoted(text, at);
  if (quoted !== undefined) return quoted;
  if (character === ",") return { start: at, end: at + 1, message: "a comma too many", remedy: "remove it" };
  if (character === "]") return wrongCloser(text, at, opener);
  const word = /^[^\s:,{}[\]"]+/.exec(text.slice(at, at + 200))?.[0];
  if (word === undefined) {
    const message = `a field name in double quotes should stand here, not ${character}`;
    return { start: at, end: at + 1, message, remedy: 'write "name": value' };
  }
  return {
    start: at,
    end: at + word.length,
    message: `the field name ${short(word)} is not quoted`,
    remedy: `write "${short(word)}"`,
  };
}

function missingColon(text: string, at: number, key: string): Diagnosis {
  const message = `after the field name "${short(key)}" a colon must follow`;
  const found = text[at];
  const end = Math.min(at + 1, text.length);
  if (found === "=" || found === ";") return { start: at, end, message, remedy: `write : instead of ${found}` };
  return { start: at, end, message, remedy: `write "${short(key)}": and its value` };
}

function missingSeparator(text: string, at: number, { opener, previous, key }: Expecting<"separator">): Diagnosis {
  if (at >= text.length) return unclosed(text, at, opener);
  const inObject = text[opener] === "{";
  const closer = inObject ? "}" : "]";
  const rest = text.slice(at, at + 400);
  const character = rest[0] ?? "";
  if (character === "}" || character === "]") return wrongCloser(text, at, opener);
  const value = `the value ${glimpse(text, previous)}${key === undefined ? "" : ` of "${short(key)}"`}`;
  const message = `after ${value} only , or ${closer} may follow`;
  if (character === ";") return { start: at, end: at + 1, message, remedy: "write , instead of ;" };
  const nextField = inObject && /^"(?:[^"\\\n]|\\.)*"\s*:/.test(rest);
  const nextItem = !inObject && /^(?:["{[]|-?[0-9]|(?:true|false|null)\b)/.test(rest);
  if (nextField || nextItem) {
    // The comma belongs behind the value before, which may be on an earlier line.
    return { start: previous.end, end: previous.end, message, remedy: "write a comma here" };
  }
  const prose = (/^[^\n\r,{}[\]]+/.exec(rest)?.[0] ?? character).trimEnd();
  return { start: at, end: at + prose.length, message, remedy: `remove \`${short(prose)}\`` };
}

function afterTheEnd(text: string, at: number): Diagnosis {
  const line = (/^[^\n\r]+/.exec(text.slice(at, at + 400))?.[0] ?? "").trimEnd();
  const message = "the document ended before this; nothing may follow it";
  return { start: at, end: at + line.length, message, remedy: `remove \`${short(line)}\`` };
}

const nameOf = (text: string, opener: number): string => (text[opener] === "{" ? "object" : "list");
const closerOf = (text: string, opener: number): string => (text[opener] === "{" ? "}" : "]");

function unclosed(text: string, at: number, opener: number): Diagnosis {
  const { line } = positionAt(text, opener);
  const message = `the text ends, but the ${nameOf(text, opener)} opened in line ${line} is not closed`;
  return { start: at, end: at, message, remedy: `add ${closerOf(text, opener)}` };
}

function wrongCloser(text: string, at: number, opener: number): Diagnosis {
  const { line } = positionAt(text, opener);
  const message = `the ${nameOf(text, opener)} opened in line ${line} cannot be closed by ${text[at]}`;
  return { start: at, end: at + 1, message, remedy: `write ${closerOf(text, opener)}` };
}

function trailingComma(comma: number, closer: string): Diagnosis {
  return { start: comma, end: comma + 1, message: `no comma may stand before ${closer}`, remedy: "remove the comma" };
}

function singleQuoted(text: string, at: number): Diagnosis | undefined {
  const quote = text[at];
  if (quote !== "'" && quote !== "`") return undefined;
  const body = text.slice(at + 1, at + 200).split(/[\n\r]/, 1)[0] ?? "";
  const close = body.indexOf(quote);
  const inside = close < 0 ? undefined : body.slice(0, close);
  return {
    start: at,
    end: inside === undefined ? at + 1 : at + inside.length + 2,
    message: "JSON texts stand in double quotes",
    remedy: inside === undefined ? 'use "' : `write "${short(inside)}"`,
  };
}

function unfinishedString(text: string, at: number, start: number): Diagnosis {
  const character = text[at];
  const opened = short(text.slice(start + 1, at));
  if (character === undefined) {
    const message = `the text ends inside of "${opened}`;
    return { start, end: at, message, remedy: 'close it with "' };
  }
  if (character === "\n" || character === "\r") {
    const message = `"${opened} is not closed at the end of its line`;
    return { start, end: at, message, remedy: 'close it with ", or write a line break as \\n' };
  }
  const written = character === "\t" ? "\\t" : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return {
    start: at,
    end: at + 1,
    message: `${character === "\t" ? "a tab" : codePoint(character)} may not stand in a text`,
    remedy: `write ${written}`,
  };
}

function wrongEscape(text: string, at: number): Diagnosis {
  const unicode = text[at + 1] === "u";
  const found = short(text.slice(at, at + (unicode ? 6 : 2)).split(/["\n\r]/, 1)[0] ?? "");
  return {
    start: at,
    end: Math.max(at + 1, at + found.length),
    message: `${found} is no escape that JSON knows`,
    remedy: unicode ? "write \\u and four hex digits" : "write \\\\ for a backslash",
  };
}

function glimpse(text: string, { start, end }: Span): string {
  const opener = text[start];
  if (opener === "{") return "{…}";
  if (opener === "[") return "[…]";
  return short(text.slice(start, end));
}

function short(text: string): string {
  const clean = text.replace(/[\p{C}\s]+/gu, " ");
  return clean.length > 60 ? `${clean.slice(0, 59)}…` : clean;
}

const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

import type { JsonNode, JsonSpan, JsonString } from "../../base/json.ts";
import type { Cursor } from "./cursor.ts";

/** The core schema of YAML 1.2 (section 10.3.2): which plain texts are no texts. */
export function resolvePlain(text: string, { start, end }: JsonSpan): JsonNode {
  if (/^(?:null|Null|NULL|~)$/.test(text)) return { kind: "null", start, end };
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(text)) {
    return { kind: "boolean", start, end, value: text.toLowerCase() === "true" };
  }
  const number = numberOf(text);
  return number === undefined
    ? { kind: "string", start, end, value: text }
    : { kind: "number", start, end, value: number, text };
}

function numberOf(text: string): number | undefined {
  if (/^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$/.test(text)) return Number(text);
  if (/^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/.test(text)) return Number(text);
  if (/^[-+]?\.(?:inf|Inf|INF)$/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return /^\.(?:nan|NaN|NAN)$/.test(text) ? Number.NaN : undefined;
}

/** Characters that begin something else than a plain text. */
export const startsPlain = (cursor: Cursor): boolean =>
  /[-?:]/.test(cursor.char) ? !cursor.separates(cursor.at) : !/^[,[\]{}#&*!|>'"%@`\s]?$/.test(cursor.char);

/** Where the plain text that begins at the cursor ends on its line; in brackets, also at what divides their items. */
export function plainEnd(cursor: Cursor, inBrackets: boolean): number {
  let at = cursor.at;
  for (; at < cursor.end; at++) {
    const char = cursor.charAt(at);
    if (char === "\n") break;
    if (char === ":" && (cursor.separates(at) || (inBrackets && /[,[\]{}]/.test(cursor.charAt(at + 1))))) break;
    if (char === "#" && /\s/.test(cursor.charAt(at - 1))) break;
    if (inBrackets && /[,[\]{}]/.test(char)) break;
  }
  while (at > cursor.at && /[ \t]/.test(cursor.charAt(at - 1))) at--;
  return at;
}

/** One line break is a space, each further one a line break (section 6.5). */
const joint = (breaks: number): string => (breaks === 1 ? " " : "\n".repeat(breaks - 1));

/** A plain text over as many lines as are indented by more than `parent`. */
export function readPlain(cursor: Cursor, parent: number): JsonNode {
  const start = cursor.at;
  let value = takePlain(cursor, false);
  let end = cursor.at;
  for (;;) {
    const breaks = breaksBefore(cursor, (column) => column > parent && startsContinuation(cursor));
    if (breaks === 0) break;
    const line = takePlain(cursor, false);
    if (cursor.char === ":") {
      cursor.failHere(
        "this line is indented as a part of the text above it, and has a colon",
        "indent it like the field above, or put the text in quotes",
      );
    }
    value += joint(breaks) + line;
    end = cursor.at;
  }
  cursor.at = end;
  cursor.skipSpaces();
  if (cursor.char === ":") {
    const message = `a second colon on one line, behind ${JSON.stringify(value.slice(0, 60))}`;
    cursor.failHere(message, "put the text in quotes, or begin a new line");
  }
  return resolvePlain(value, { start, end });
}

/** A comment ends a text, and a line with a tab before it is refused by whoever comes next. */
const startsContinuation = (cursor: Cursor): boolean =>
  !/^#?$/.test(cursor.char) && /^ *$/.test(cursor.text.slice(cursor.at - cursor.column, cursor.at));

/** A plain text in brackets, where lines count as spaces. */
export function readFlowPlain(cursor: Cursor): JsonNode {
  const start = cursor.at;
  let value = takePlain(cursor, true);
  let end = cursor.at;
  for (;;) {
    const breaks = breaksBefore(cursor, () => !/^[,[\]{}#:]?$/.test(cursor.char));
    if (breaks === 0) break;
    value += joint(breaks) + takePlain(cursor, true);
    end = cursor.at;
  }
  cursor.at = end;
  return resolvePlain(value, { start, end });
}

function takePlain(cursor: Cursor, inBrackets: boolean): string {
  const start = cursor.at;
  cursor.at = plainEnd(cursor, inBrackets);
  return cursor.text.slice(start, cursor.at);
}

/** Moves over line breaks to the next text if it belongs to the one before; how many, or 0. */
function breaksBefore(cursor: Cursor, belongs: (column: number) => boolean): number {
  const before = cursor.at;
  let breaks = 0;
  for (;;) {
    cursor.skipSpaces();
    if (cursor.char !== "\n") break;
    breaks++;
    cursor.at++;
  }
  if (breaks > 0 && !cursor.atEnd && belongs(cursor.column)) return breaks;
  cursor.at = before;
  return 0;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  "\t": "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1b",
  " ": " ",
  '"': '"',
  "/": "/",
  "\\": "\\",
  N: "\x85",
  _: "\xa0",
  L: "\u2028",
  P: "\u2029",
};
const hexEscapes: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** A text in double or single quotes. */
export function readQuoted(cursor: Cursor): JsonString {
  const start = cursor.at;
  const quote = cursor.char;
  cursor.at++;
  let value = "";
  for (;;) {
    const { char } = cursor;
    if (cursor.atEnd) unclosed(cursor, start);
    if (char === quote) {
      if (quote === '"' || cursor.charAt(cursor.at + 1) !== "'") break;
      value += "'";
      cursor.at += 2;
    } else if (char === "\\" && quote === '"') {
      value += readEscape(cursor);
    } else if (char === "\n") {
      value = value.replace(/[ \t]+$/, "") + joint(skipBreaks(cursor));
    } else {
      value += char;
      cursor.at++;
    }
  }
  cursor.at++;
  return { kind: "string", start, end: cursor.at, value };
}

function unclosed(cursor: Cursor, start: number): never {
  const quote = cursor.charAt(start);
  const span = { start, end: cursor.lineEnd(start) };
  cursor.fail(span, "the quotes that open here are never closed", `close them with ${quote}`);
}

function skipBreaks(cursor: Cursor): number {
  let breaks = 0;
  for (; /\s/.test(cursor.char); cursor.at++) if (cursor.char === "\n") breaks++;
  return breaks;
}

function readEscape(cursor: Cursor): string {
  const letter = cursor.charAt(cursor.at + 1);
  if (letter === "\n") {
    cursor.at++;
    const breaks = skipBreaks(cursor);
    return "\n".repeat(breaks - 1);
  }
  const simple = Object.hasOwn(simpleEscapes, letter) ? simpleEscapes[letter] : undefined;
  if (simple !== undefined) {
    cursor.at += 2;
    return simple;
  }
  const length = Object.hasOwn(hexEscapes, letter) ? (hexEscapes[letter] ?? 0) : 0;
  const digits = cursor.text.slice(cursor.at + 2, cursor.at + 2 + length);
  const code = Number.parseInt(digits, 16);
  if (length === 0 || digits.length < length || !/^[0-9a-fA-F]+$/.test(digits) || code > 0x10ffff) {
    const span = { start: cursor.at, end: Math.min(cursor.at + 2, cursor.end) };
    cursor.fail(span, `\\${letter} means nothing in double quotes`, "write \\\\ for a backslash, or use single quotes");
  }
  cursor.at += 2 + length;
  return String.fromCodePoint(code);
}

/** A literal (|) or folded (>) text (section 8.1), of lines indented by more than `parent`. */
export function readBlockText(cursor: Cursor, parent: number): JsonString {
  const start = cursor.at;
  const header = /^([|>])(?:([-+])?([1-9])?|([1-9])([-+]))[ \t]*(?:[ \t]#.*)?$/.exec(cursor.line);
  if (header === null)
    cursor.failHere(`behind ${cursor.char} the line ends`, "begin the text on the next line, indented");
  const [, style, chomp1, indent1, indent2, chomp2] = header;
  const explicit = indent1 ?? indent2;
  cursor.at = cursor.lineEnd(cursor.at);
  const lines = takeLines(cursor, parent, explicit === undefined ? undefined : Math.max(parent, 0) + Number(explicit));
  let last = lines.length;
  while (last > 0 && lines[last - 1] === "") last--;
  const blanks = lines.length - last;
  const content = lines.slice(0, last);
  const body = style === "|" ? content.join("\n") : fold(content);
  const chomp = chomp1 ?? chomp2;
  const tail = chomp === "-" ? "" : chomp === "+" ? "\n".repeat(blanks + (last > 0 ? 1 : 0)) : last > 0 ? "\n" : "";
  return { kind: "string", start, end: cursor.at, value: body + tail };
}

/** Without their indentation, which the first line that is not blank sets. */
function takeLines(cursor: Cursor, parent: number, explicit: number | undefined): string[] {
  const lines: string[] = [];
  let indent = explicit;
  while (cursor.char === "\n") {
    const lineStart = cursor.at + 1;
    if (lineStart >= cursor.end) {
      cursor.at = lineStart;
      break;
    }
    const line = cursor.text.slice(lineStart, cursor.lineEnd(lineStart));
    const spaces = line.length - line.replace(/^ +/, "").length;
    if (spaces < line.length) {
      indent ??= spaces > parent ? spaces : undefined;
      if (indent === undefined || spaces < indent) break;
    }
    lines.push(indent === undefined ? "" : line.slice(indent));
    cursor.at = lineStart + line.length;
  }
  return lines;
}

/** Lines become one, but for those that are indented further, and blank ones. */
function fold(lines: readonly string[]): string {
  let folded = "";
  let blanks = 0;
  let previous: string | undefined;
  for (const line of lines) {
    if (line === "") {
      blanks++;
      continue;
    }
    const apart = previous !== undefined && (/^[ \t]/.test(line) || /^[ \t]/.test(previous));
    if (previous === undefined) folded = "\n".repeat(blanks);
    else folded += apart ? "\n".repeat(blanks + 1) : joint(blanks + 1);
    folded += line;
    previous = line;
    blanks = 0;
  }
  return folded;
}

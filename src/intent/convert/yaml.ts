import { TwillError } from "../../base/errors.ts";

/** One document of a YAML stream. */
export interface YamlDocument {
  readonly value: unknown;
  /** Line of the file on which it begins, counted from 1. */
  readonly line: number;
}

const maxLength = 16 << 20;

/**
 * The documents of a YAML stream (YAML 1.2 section 9), empty ones left out. Bun's parser says neither where it stopped nor that a key
 * stands twice (the last one wins, in silence), so both are found here.
 * @throws TwillError `invalid` naming file and line.
 */
export function parseYaml(text: string, source: string): readonly YamlDocument[] {
  if (text.length > maxLength) {
    throw new TwillError("invalid", `${text.length} characters long; at most ${maxLength} are read`, {
      operation: "read",
      object: source,
      remedy: "check that it is the right file",
    });
  }
  return split(text.replace(/^\uFEFF/, "")).flatMap(({ text: part, line }) => {
    const value = parseOne(part, line, source);
    return value === null || value === undefined ? [] : [{ value, line }];
  });
}

interface Part {
  readonly text: string;
  readonly line: number;
}

/** "---" at the start of a line ends a document wherever it stands, even in a block scalar (YAML 1.2 section 9.1.2). */
function split(text: string): readonly Part[] {
  const parts: { lines: string[]; line: number }[] = [{ lines: [], line: 1 }];
  for (const [index, line] of text.split("\n").entries()) {
    if (/^---(\s|$)/.test(line)) parts.push({ lines: [line], line: index + 1 });
    else parts.at(-1)?.lines.push(line);
  }
  // Directives ("%YAML 1.2") and comments before a document are no document.
  return parts
    .filter(({ lines }) => lines.some((line) => !/^\s*(#|%|$)|^---\s*$/.test(line)))
    .map(({ lines, line }) => ({ text: lines.join("\n"), line }));
}

function parseOne(text: string, firstLine: number, source: string): unknown {
  const outcome = attempt(text);
  if (!outcome.ok) {
    const line = firstLine + failingLine(text);
    throw wrong(
      source,
      line,
      outcome.message,
      helmHint(text) ?? "mend it; `kubectl apply --dry-run=client -f` reads it the same way",
    );
  }
  checkSize(outcome.value, source, firstLine, text);
  const twin = duplicateKey(text);
  if (twin !== undefined) {
    const message = `the key ${JSON.stringify(twin.key)} stands twice in one mapping, first on line ${firstLine + twin.first}`;
    throw wrong(source, firstLine + twin.second, message, "keep one of the two");
  }
  return outcome.value;
}

function wrong(source: string, line: number, message: string, remedy: string): TwillError {
  return new TwillError("invalid", message, { operation: "read", object: `${source} line ${line}`, remedy });
}

const helmHint = (text: string): string | undefined =>
  text.includes("{{") ? "it is a template of Helm's: render it with `helm template` first" : undefined;

type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string };

function attempt(text: string): Outcome {
  try {
    return { ok: true, value: Bun.YAML.parse(text) };
  } catch (error) {
    return {
      ok: false,
      message: error instanceof Error ? error.message.replace(/^YAML Parse error: /, "") : String(error),
    };
  }
}

/**
 * The line, counted from 0, behind the longest beginning of the text that can be parsed: there, or in the quotes or brackets opened there,
 * is the mistake. Searched by halves, so a beginning that ends inside brackets must not be taken for the mistake: some lines further on
 * it could be parsed again.
 */
function failingLine(text: string): number {
  const lines = text.split("\n");
  const parses = (count: number): boolean => attempt(lines.slice(0, count).join("\n")).ok;
  let good = 0;
  for (let round = 0; round < 20; round++) {
    good = lastGood(good, lines.length, parses);
    const next = Array.from({ length: 60 }, (_, index) => good + 2 + index).findLast(
      (count) => count < lines.length && parses(count),
    );
    if (next === undefined) break;
    good = next;
  }
  // Blank lines and comments behind it are not to blame.
  while (good < lines.length - 1 && /^\s*(#|$)/.test(lines[good] ?? "")) good++;
  return good;
}

/** A number of lines that parse, while one more do not. */
function lastGood(good: number, bad: number, parses: (count: number) => boolean): number {
  let [low, high] = [good, bad];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (parses(middle)) low = middle;
    else high = middle;
  }
  return low;
}

const maxValues = 500_000;
const maxDepth = 100;

/** Aliases make a tree of a graph: its size and depth are bounded, for it may be cyclic. */
function checkSize(value: unknown, source: string, line: number, text: string): void {
  let values = 0;
  const visit = (current: unknown, depth: number): void => {
    if (++values > maxValues || depth > maxDepth) {
      throw wrong(
        source,
        line,
        "the document is too large or too deep, or an alias holds itself",
        "write it without aliases",
      );
    }
    if (typeof current !== "object" || current === null) return;
    for (const [key, inner] of Object.entries(current)) {
      // What Bun makes of a mapping used as a key, as in "{{ .Values.x }}".
      if (key === "[object Object]") {
        throw wrong(source, line, "a mapping stands where a key should", helmHint(text) ?? "write a text as the key");
      }
      visit(inner, depth + 1);
    }
  };
  visit(value, 0);
}

interface Twin {
  readonly key: string;
  /** Lines counted from 0. */
  readonly first: number;
  readonly second: number;
}

const otherKey = "twill: the second key";

/** A suspicion is confirmed by the parser itself: with the second key renamed, both stand side by side in one mapping. */
function duplicateKey(text: string): Twin | undefined {
  for (const { at, length, ...twin } of suspects(text)) {
    const renamed = attempt(text.slice(0, at) + JSON.stringify(otherKey) + text.slice(at + length));
    if (renamed.ok && hasBoth(renamed.value, twin.key)) return twin;
  }
  return undefined;
}

function hasBoth(value: unknown, key: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Object.hasOwn(value, otherKey)) return Object.hasOwn(value, key);
  return Object.values(value).some((inner) => hasBoth(inner, key));
}

interface Suspect extends Twin {
  /** Offset and length of the second key in the text. */
  readonly at: number;
  readonly length: number;
}

const keyLine =
  /^(\s*(?:- +)*)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#"'{}[\],&*!|>%@`-][^#]*?|-[^\s#][^#]*?)\s*:(?=\s|$)/;

/** By indentation alone, as a person would see it. */
function suspects(text: string): readonly Suspect[] {
  const found: Suspect[] = [];
  const open: { readonly column: number; readonly keys: Map<string, number> }[] = [];
  let scalarBelow: number | undefined;
  let offset = 0;
  for (const [number, line] of text.split("\n").entries()) {
    const start = offset;
    offset += line.length + 1;
    if (/^\s*(#|$)/.test(line)) continue;
    const indent = line.length - line.trimStart().length;
    if (scalarBelow !== undefined && indent > scalarBelow) continue;
    scalarBelow = /:\s+[|>][-+0-9]*\s*(#.*)?$/.test(line) ? indent : undefined;
    while ((open.at(-1)?.column ?? -1) > indent) open.pop();
    found.push(...onOneLine(line, start, number));
    const match = keyLine.exec(line);
    if (match === null) continue;
    const [, before = "", key = ""] = match;
    const column = before.length;
    if (open.at(-1)?.column !== column || before.includes("-")) open.push({ column, keys: new Map() });
    const keysHere = open.at(-1)?.keys;
    const name = key.replace(/^(["'])(.*)\1$/, "$2");
    const first = keysHere?.get(name);
    if (first !== undefined) found.push({ key: name, first, second: number, at: start + column, length: key.length });
    keysHere?.set(name, number);
  }
  return found;
}

/** `{a: 1, b: {a: 1}, a: 2}`: keys of the same braces, on one line. */
function onOneLine(line: string, start: number, number: number): readonly Suspect[] {
  const found: Suspect[] = [];
  const open: Set<string>[] = [];
  for (const { 0: token, 1: quoted, 2: plain, index } of line.matchAll(
    /("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*:|[{}]|([^\s,:{}[\]"']+)\s*:(?=\s)|"(?:[^"\\]|\\.)*"/g,
  )) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    const keys = open.at(-1);
    const key = quoted ?? plain;
    if (key === undefined || keys === undefined) continue;
    const name = key.replace(/^(["'])(.*)\1$/, "$2");
    if (keys.has(name)) found.push({ key: name, first: number, second: number, at: start + index, length: key.length });
    keys.add(name);
  }
  return found;
}

import type { JsonMember, JsonNode } from "../../base/json.ts";
import { nearest } from "../nearest.ts";
import { described, type Place, wrong } from "../schema.ts";

/** Something that is not wrong, and most likely not meant. */
export interface Warning {
  /** "spec.ingress[0].from" */
  readonly path: string;
  /** In the document, from 1. */
  readonly line: number;
  readonly message: string;
  readonly remedy: string;
}

/** How an object of Kubernetes is read, and what is noted on the way. */
export interface Reading {
  /** A person's file, in which what is left out may be forgotten; or an object that an API server or `twill apply` accepted. */
  readonly origin: "file" | "datastore";
  warn(warning: Warning): void;
}

/** Collects what is noted. */
export class Notes implements Reading {
  readonly origin: Reading["origin"];
  readonly warnings: Warning[] = [];

  constructor(origin: Reading["origin"]) {
    this.origin = origin;
  }

  warn(warning: Warning): void {
    this.warnings.push(warning);
  }
}

/** From 1. Of the text that was asked about last the lines are known: a file of thousands of policies is asked about for each rule. */
export function lineOf({ document, node }: Place): number {
  if (lines.text !== document.text) lines = { text: document.text, starts: lineStarts(document.text) };
  let [low, high] = [0, lines.starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((lines.starts[middle] ?? 0) <= node.start) low = middle;
    else high = middle;
  }
  return low + 1;
}

let lines: { readonly text: string; readonly starts: readonly number[] } = { text: "", starts: [0] };

function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

export const warnAt = (reading: Reading, place: Place, message: string, remedy: string): void =>
  reading.warn({ path: place.path, line: lineOf(place), message, remedy });

/** The fields of an object that are there; null counts as absent, as in Go's encoding/json. */
export interface Fields<K extends string> {
  readonly place: Place;
  at(name: K): Place | undefined;
  /** Names that this version does not know and warned of. Whoever reads an object whose fields narrow what it matches must then match less. */
  readonly unknown: readonly string[];
}

/**
 * Fields without a reader here: `ignore` where most fields are none of our business; `warn` where another version may have some;
 * `refuse`, with the remedy, where what one means could only be guessed.
 */
export interface FieldOptions {
  readonly unknown?: "ignore" | "warn" | { readonly refuse: string };
}

/**
 * Warns of unknown fields, which are kept; but one that is a known field with a slip of the pen would be left out where it was meant,
 * and that is an error. @throws JsonError, also when it is no object.
 */
export function readFields<K extends string>(
  place: Place,
  known: readonly K[],
  reading: Reading,
  { unknown: others = "warn" }: FieldOptions = {},
): Fields<K> {
  const members = membersOf(place);
  const unknown: string[] = [];
  const found = new Map<string, Place>();
  for (const member of members) {
    const at = inside(place, member.key, member.value);
    if (known.some((name) => name === member.key)) {
      if (member.value.kind !== "null") found.set(member.key, at);
      continue;
    }
    if (others === "ignore") continue;
    const meant = nearest(member.key, known);
    if (meant !== undefined && (reading.origin === "file" || !members.some(({ key }) => key === meant))) {
      throw wrong(at, `unknown field "${shown(member.key)}"`, `did you mean "${meant}"?`, member.keySpan);
    }
    if (others !== "warn") throw wrong(at, `unknown field "${shown(member.key)}"`, others.refuse, member.keySpan);
    unknown.push(member.key);
    const remedy = `known here are ${known.join(", ")}`;
    warnAt(reading, at, `the field "${shown(member.key)}" is not known to this version`, remedy);
  }
  return { place, at: (name) => found.get(name), unknown };
}

/** @throws JsonError unless it is an object. */
export function membersOf(place: Place): readonly JsonMember[] {
  const { node } = place;
  if (node.kind !== "object") throw wrong(place, `${described(place)} is not an object`, "write fields: NAME: VALUE");
  return node.members;
}

/** @throws JsonError unless it is a list without empty items: `- ` with nothing behind would mean "anything" in places. */
export function itemsOf(place: Place, max = Number.POSITIVE_INFINITY): readonly Place[] {
  const { node } = place;
  if (node.kind !== "array") {
    throw wrong(place, `${described(place)} is not a list`, "write each item on a line of its own, beginning with -");
  }
  if (node.items.length > max) throw wrong(place, `a list of ${node.items.length}`, `write at most ${max}`);
  return node.items.map((item, index) => {
    const at = { ...place, node: item, path: `${place.path}[${index}]` };
    if (item.kind === "null") throw wrong(at, "an item without a value", "remove it, or write what it should be");
    return at;
  });
}

export const inside = (place: Place, name: string, node: JsonNode): Place => ({
  document: place.document,
  node,
  path: place.path === "" ? shown(name) : `${place.path}.${shown(name)}`,
});

/** To be thrown: the object lacks a field. */
export const missing = (fields: { readonly place: Place }, name: string, remedy: string): Error =>
  wrong(inside(fields.place, name, fields.place.node), `${name} is missing`, remedy, begin(fields.place.node));

/** An object's first character: all of it would be marked otherwise. */
const begin = (node: JsonNode) => ({ start: node.start, end: node.start + 1 });

/** @throws JsonError. */
export function readText(place: Place): string {
  const { node } = place;
  if (node.kind === "string") return node.value;
  const scalar = node.kind === "number" || node.kind === "boolean";
  const remedy = scalar ? `write "${described(place)}" in quotes` : "write a text";
  throw wrong(place, `${described(place)} is not a text`, remedy);
}

/** One of a few words, written exactly so. @throws JsonError. */
export function readWord<T extends string>(place: Place, words: readonly T[]): T {
  const written = readText(place);
  const found = words.find((word) => word === written);
  if (found !== undefined) return found;
  const known = `known are ${words.join(", ")}`;
  const prose = withoutProse(written, (text) => words.some((word) => word === text));
  if (prose !== undefined) throw wrong(place, `${described(place)} is not known`, `${prose}; ${known}`);
  const meant = nearest(written, words);
  throw wrong(place, `${described(place)} is not known`, meant === undefined ? known : `did you mean ${meant}?`);
}

/** A whole number as JSON has it: 80, not 80.0 or "80". @throws JsonError. */
export function readInteger(place: Place, min: number, max: number): number {
  const { node } = place;
  if (node.kind === "string") {
    const text = node.value.trim();
    const prose = withoutProse(text, (part) => /^\d+$/.test(part));
    const remedy = /^-?\d+$/.test(text) ? `write ${text} without quotes` : (prose ?? `write ${min} to ${max}`);
    throw wrong(place, `${described(place)} is not a number`, remedy);
  }
  if (node.kind !== "number") throw wrong(place, `${described(place)} is not a number`, `write ${min} to ${max}`);
  if (!/^-?[0-9]+$/.test(node.text)) {
    throw wrong(place, `${described(place)} is not a whole number`, `write ${min} to ${max}`);
  }
  if (!(node.value >= min && node.value <= max)) {
    throw wrong(place, `${described(place)} is out of range`, `use ${min} to ${max}`);
  }
  return node.value;
}

/**
 * People paste samples whose comments lost their "#": "- Ingress by default denied". The remedy when the first word alone would do.
 */
export function withoutProse(text: string, fits: (first: string) => boolean): string | undefined {
  const [, first, rest] = /^(\S+)\s+(\S.*)$/s.exec(text) ?? [];
  if (first === undefined || rest === undefined || !fits(first)) return undefined;
  return `write ${first} alone, and "${shown(rest)}" behind a # as a comment`;
}

/** For messages: no control characters, not endless. */
export const shown = (text: string): string => {
  if (text.length <= 60 && /^[ -~]*$/.test(text)) return text;
  const clean = text.replace(/\p{C}/gu, "·");
  return clean.length > 60 ? `${clean.slice(0, 59)}…` : clean;
};

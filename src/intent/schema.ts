import { TwillError } from "../base/errors.ts";
import { type JsonDocument, type JsonMember, type JsonNode, type JsonSpan, plainValue } from "../base/json.ts";
import { JsonError } from "../base/json-error.ts";
import { nearest } from "./nearest.ts";

/**
 * What people may write, said once: read and checked by it, written by it, documented from it. A schema is a record of
 * fields by the name that is written; absent fields are undefined or their default.
 */
export type Schema = Readonly<Record<string, Field<unknown, unknown>>>;

/** One field. T: its value when it is there; A: its value when it is not. */
export interface Field<T, A = undefined> {
  /** In words: "whole number". */
  readonly type: string;
  /** Allowed values in words, where the type does not say it all. */
  readonly range?: string | undefined;
  /** One sentence for the reference documentation. */
  readonly meaning: string;
  /** In words, what holds when the field is absent. */
  readonly default?: string | undefined;
  readonly required: boolean;
  readonly absent: A;
  /** @throws JsonError naming the place. */
  readonly read: (place: Place) => T;
}

export type Values<S extends Schema> = {
  readonly [K in keyof S]: S[K] extends Field<infer T, infer A> ? T | A : never;
};

/** A value in a document, and the path to it, "Backend.VNI": all that an error needs. */
export interface Place {
  readonly document: JsonDocument;
  readonly node: JsonNode;
  readonly path: string;
}

export const rootOf = (document: JsonDocument): Place => ({ document, node: document.root, path: "" });

/** To be thrown: something wrong with the value at `place`. */
export const wrong = (place: Place, message: string, remedy: string, span: JsonSpan = place.node): JsonError =>
  new JsonError(place.document, span, message, remedy, place.path);

/** The value at `place` in words: `the text "24"`. */
export function described({ document, node }: Place): string {
  switch (node.kind) {
    case "object":
      return "an object";
    case "array":
      return "a list";
    case "string":
      return `the text ${cut(JSON.stringify(node.value))}`;
    case "null":
      return "null";
    default:
      return cut(document.text.slice(node.start, node.end));
  }
}

const cut = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

interface About<A> {
  /** One sentence for the reference documentation; fields that only programs write may do without. */
  readonly meaning?: string;
  /** Value when absent. */
  readonly absent?: A;
  /** In words, what holds when absent, where `absent` does not say it. */
  readonly default?: string;
}

function field<T, A>(about: About<A>, type: string, range: string | undefined, read: (place: Place) => T): Field<T, A> {
  const said = about.default ?? (about.absent === undefined ? undefined : String(about.absent));
  // `absent` is undefined exactly when A is: it is optional only so that most fields need not write it.
  const absent = about.absent as A;
  return { type, range, meaning: about.meaning ?? "", default: said, required: false, absent, read };
}

/** The same field, without which the object is refused. */
export const required = <T, A>(optional: Field<T, A>): Field<T, never> => ({
  ...optional,
  required: true,
  absent: undefined as never,
});

export function boolean<A extends boolean | undefined = undefined>(about: About<A> = {}): Field<boolean, A> {
  return field(about, "true or false", undefined, (place) => {
    if (place.node.kind === "boolean") return place.node.value;
    const text = place.node.kind === "string" ? place.node.value.toLowerCase() : "";
    const remedy = text === "true" || text === "false" ? `write ${text} without quotes` : "write true or false";
    throw wrong(place, `${described(place)} is not true or false`, remedy);
  });
}

export function integer<A extends number | undefined = undefined>(
  about: About<A> & { readonly min: number; readonly max: number },
): Field<number, A> {
  const { min, max } = about;
  const range = `${min} to ${max}`;
  return field(about, "whole number", range, (place) => {
    const { node } = place;
    if (node.kind === "string" && /^-?(0|[1-9][0-9]*)$/.test(node.value)) {
      throw wrong(place, `${described(place)} is not a number`, `write ${node.value} without quotes`);
    }
    if (node.kind !== "number") throw wrong(place, `${described(place)} is not a number`, `write ${range}`);
    // By its text: 24.0 and 1e3 are no whole numbers to Flannel either, and 2^53 + 1 has lost its last digit.
    if (!/^-?[0-9]+$/.test(node.text)) {
      const remedy = Number.isSafeInteger(node.value) ? `write ${node.value}` : `write ${range}`;
      throw wrong(place, `${described(place)} is not a whole number`, remedy);
    }
    if (!(node.value >= min && node.value <= max)) {
      throw wrong(place, `${described(place)} is out of range`, `use ${range}`);
    }
    return node.value;
  });
}

interface AboutText<A> extends About<A> {
  readonly type?: string;
  readonly range?: string;
}

/** A text. `parse` makes a value of it; what it throws is reported at the field's place. */
export function text<A extends string | undefined = undefined>(about?: AboutText<A>): Field<string, A>;
export function text<T, A = undefined>(about: AboutText<A> & { readonly parse: (text: string) => T }): Field<T, A>;
export function text<T, A>(about: AboutText<A> & { readonly parse?: (text: string) => T } = {}): Field<T, A> {
  return field(about, about.type ?? "text", about.range, (place) => {
    const { node } = place;
    if (node.kind !== "string") {
      const remedy =
        node.kind === "number" || node.kind === "boolean"
          ? `write "${described(place)}" in double quotes`
          : "write a text in double quotes";
      throw wrong(place, `${described(place)} is not a text`, remedy);
    }
    if (about.parse === undefined) return node.value as T;
    try {
      return about.parse(node.value);
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      throw wrong(
        place,
        error.message,
        error.remedy ?? `write ${about.type === undefined ? "another" : `an ${about.type}`}`,
      );
    }
  });
}

/** One of a few words, in any case. */
export function choice<T extends string, A extends T | undefined = undefined>(
  about: About<A> & { readonly of: readonly T[] },
): Field<T, A> {
  const range = about.of.map((word) => `"${word}"`).join(", ");
  return field(about, "text", range, (place) => {
    const { node } = place;
    const written = node.kind === "string" ? node.value : undefined;
    const found = about.of.find((word) => word.toLowerCase() === written?.toLowerCase());
    if (found !== undefined) return found;
    const meant = written === undefined ? undefined : nearest(written, about.of);
    const remedy = meant === undefined ? `use one of ${range}` : `did you mean "${meant}"? Known are ${range}`;
    throw wrong(place, `${described(place)} is not known`, remedy);
  });
}

export function list<T, A = undefined>(
  about: About<A> & { readonly of: Field<T, unknown>; readonly max: number },
): Field<readonly T[], A> {
  return field(about, `list of ${about.of.type}`, about.of.range, (place) => {
    const { node } = place;
    if (node.kind !== "array") throw wrong(place, `${described(place)} is not a list`, "write [ and ] around it");
    if (node.items.length > about.max) {
      throw wrong(place, `a list of ${node.items.length}`, `write at most ${about.max}`);
    }
    return node.items.map((item, index) => about.of.read({ ...place, node: item, path: `${place.path}[${index}]` }));
  });
}

export function object<S extends Schema, A = undefined>(
  about: About<A> & { readonly fields: S } & ReadOptions,
): Field<Values<S>, A> {
  return field(about, "object", undefined, (place) => readObject(about.fields, place, about).values);
}

/** Anything, as it stands in the document: to be read later, or passed on. */
export function anything<A = undefined>(about: About<A> & { readonly type?: string } = {}): Field<Place, A> {
  return field(about, about.type ?? "any value", undefined, (place) => place);
}

/** Anything, as the plain value that JSON.parse gives. */
export function plain<A = undefined>(about: About<A> = {}): Field<unknown, A> {
  return field(about, "any value", undefined, ({ node }) => plainValue(node));
}

export interface ReadOptions {
  /** Field names match in any case, as Go's encoding/json reads them. */
  readonly anyCase?: boolean;
  /** Unknown fields: refused, or left alone because another program or a later version may write them. */
  readonly unknown?: "refuse" | "ignore";
  /** Says more of an unknown field than that it is unknown. */
  readonly explainUnknown?: (name: string, place: Place) => TwillError | undefined;
}

/** What was read, and where, for checks that need several fields. */
export interface Reading<S extends Schema> {
  readonly values: Values<S>;
  /** The place of a field's value; of the whole object, under the field's path, when it is absent. */
  at(name: keyof S & string): Place;
  has(name: keyof S & string): boolean;
}

/** @throws JsonError for the first thing wrong, in the order of the text; then for missing required fields. */
export function readObject<S extends Schema>(schema: S, place: Place, options: ReadOptions = {}): Reading<S> {
  const { node } = place;
  if (node.kind !== "object") throw wrong(place, `${described(place)} is not an object`, "write { and } around fields");
  const names = Object.keys(schema);
  const written = new Map<string, JsonMember>();
  const values: Record<string, unknown> = {};
  for (const member of node.members) {
    const name = matching(names, member.key, options.anyCase ?? false);
    if (name === undefined) {
      if (options.unknown === "ignore") continue;
      throw unknownField(names, member, place, options);
    }
    const twin = written.get(name);
    if (twin !== undefined) {
      const message = `"${member.key}" and "${twin.key}" are the same field, for case does not matter`;
      throw wrong(inside(place, name, member.value), message, "keep one of the two", member.keySpan);
    }
    written.set(name, member);
    // Go's encoding/json leaves a field alone that is null, so it reads as absent.
    if (member.value.kind !== "null") values[name] = schema[name]?.read(inside(place, name, member.value));
  }
  for (const name of names) {
    if (values[name] !== undefined) continue;
    if (schema[name]?.required === true) {
      throw wrong(inside(place, name, node), `${name} is missing`, `add "${name}": ${schema[name].type}`);
    }
    values[name] = schema[name]?.absent;
  }
  return {
    values: values as Values<S>,
    at: (name) => inside(place, name, written.get(name)?.value ?? node),
    has: (name) => (written.get(name)?.value.kind ?? "null") !== "null",
  };
}

/** Undefined fields are left out; the others stand in the schema's order. */
export function writeObject<S extends Schema>(
  schema: S,
  values: Partial<Record<keyof S, unknown>>,
): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const name of Object.keys(schema)) {
    if (values[name] !== undefined) written[name] = values[name];
  }
  return written;
}

const inside = (place: Place, name: string, node: JsonNode): Place => ({
  document: place.document,
  node,
  path: place.path === "" ? name : `${place.path}.${name}`,
});

function matching(names: readonly string[], key: string, anyCase: boolean): string | undefined {
  if (names.includes(key)) return key;
  return anyCase ? names.find((name) => name.toLowerCase() === key.toLowerCase()) : undefined;
}

function unknownField(names: readonly string[], member: JsonMember, place: Place, options: ReadOptions): TwillError {
  const key = cut(member.key).replace(/\p{C}/gu, "·");
  const at = inside(place, key, member.value);
  const explained = options.explainUnknown?.(member.key, at);
  if (explained !== undefined) return explained;
  const meant = nearest(member.key, names);
  const known = names.length === 0 ? "no field is known here" : `known are ${names.join(", ")}`;
  const remedy = meant === undefined ? `remove it; ${known}` : `did you mean "${meant}"?`;
  return wrong(at, `unknown field "${key}" with ${described(at)}`, remedy, member.keySpan);
}

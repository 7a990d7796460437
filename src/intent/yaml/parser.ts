import type { JsonArray, JsonNode, JsonObject, JsonSpan, JsonString } from "../../base/json.ts";
import { positionAt } from "../../base/json-error.ts";
import type { Cursor } from "./cursor.ts";
import { Members } from "./members.ts";
import { plainEnd, readBlockText, readFlowPlain, readPlain, readQuoted, startsPlain } from "./scalar.ts";

const MAX_DEPTH = 100;
/** Aliases make much of little. */
const MAX_NODES = 500_000;

interface Properties {
  readonly anchor?: string;
  /** Without "!!". */
  readonly tag?: string;
}

/**
 * One document of block and flow YAML (1.2), as a tree that knows where everything stands. Anchors, aliases and merges are followed.
 * Not there: keys that are not scalars, tags other than the core schema's.
 */
export class YamlParser {
  readonly #cursor: Cursor;
  readonly #anchors = new Map<string, { readonly node: JsonNode; readonly size: number }>();
  #depth = 0;
  #nodes = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  /** @throws JsonError. */
  document(): JsonNode {
    const cursor = this.#cursor;
    cursor.skipToContent();
    const root = this.#block(-1);
    cursor.skipToContent();
    if (!cursor.atEnd) {
      cursor.failHere("this line continues nothing of what stands above it", "check its indentation");
    }
    return root;
  }

  /** A node that begins at the cursor, in the first place of a line or behind "- ". */
  #block(parent: number): JsonNode {
    return this.#nested(() => {
      const cursor = this.#cursor;
      const properties = this.#properties();
      if (cursor.lineIsOver && hasAny(properties)) return this.#with(properties, () => this.#below(parent, cursor.at));
      if (hasAny(properties) && this.#keyEnd() !== undefined) {
        cursor.failHere(
          "an anchor or tag stands before a key",
          "put it behind the colon, or on a line of its own above",
        );
      }
      return this.#with(properties, () => {
        if (cursor.char === "-" && cursor.separates(cursor.at)) return this.#sequence(cursor.column);
        if (cursor.char === "?" && cursor.separates(cursor.at)) this.#complexKey(cursor.at);
        return this.#keyEnd() === undefined ? this.#inline(parent) : this.#mapping(cursor.column);
      });
    });
  }

  /** What stands on the following lines, if they are indented by more than `parent`; else nothing. */
  #below(parent: number, owner: number, listToo = false): JsonNode {
    const cursor = this.#cursor;
    cursor.skipToContent();
    if (!cursor.atEnd) {
      if (cursor.column > parent) return this.#block(parent);
      const isItem = cursor.char === "-" && cursor.separates(cursor.at);
      // A list may stand as far left as the field that it is the value of.
      if (listToo && cursor.column === parent && isItem) return this.#nested(() => this.#sequence(parent));
    }
    return this.#count({ kind: "null", start: owner, end: owner + 1 });
  }

  #sequence(column: number): JsonArray {
    const cursor = this.#cursor;
    const start = cursor.at;
    const items: JsonNode[] = [];
    let end = start;
    do {
      const dash = cursor.at++;
      cursor.skipSpaces();
      items.push(cursor.lineIsOver ? this.#below(column, dash) : this.#block(column));
      end = items.at(-1)?.end ?? end;
      cursor.skipToContent();
      if (!cursor.atEnd && cursor.column > column) this.#wrongIndent("the items of this list", start);
    } while (!cursor.atEnd && cursor.column === column && cursor.char === "-" && cursor.separates(cursor.at));
    return this.#count({ kind: "array", start, end, items });
  }

  #mapping(column: number): JsonObject {
    const cursor = this.#cursor;
    const start = cursor.at;
    const members = new Members(cursor);
    do {
      const key = this.#key();
      const colon = cursor.at++;
      cursor.skipSpaces();
      const value = cursor.lineIsOver ? this.#below(column, colon, true) : this.#inlineValue(column, colon);
      members.add(key, value);
      cursor.skipToContent();
      if (!cursor.atEnd && cursor.column > column) this.#wrongIndent("the fields above", start);
    } while (!cursor.atEnd && cursor.column === column && !this.#isStray());
    return this.#count({ kind: "object", start, end: members.end, members: members.all() });
  }

  /** What stands in the column of a mapping's fields, and is none. */
  #isStray(): boolean {
    const cursor = this.#cursor;
    if (cursor.char === "-" && cursor.separates(cursor.at)) {
      cursor.failHere("an item of a list stands among fields", "indent it below the field whose list it is in");
    }
    if (cursor.char === "?" && cursor.separates(cursor.at)) this.#complexKey(cursor.at);
    if (this.#keyEnd() !== undefined) return false;
    const line = cursor.line.trim();
    return cursor.failHere(`${JSON.stringify(line.slice(0, 60))} is no field: it has no colon`, "write NAME: VALUE");
  }

  #wrongIndent(what: string, start: number): never {
    const { line } = positionAt(this.#cursor.text, start);
    this.#cursor.failHere(
      `this line is indented further than ${what} (from line ${line}), and belongs to none`,
      "give it the same indentation, or put what it continues in quotes",
    );
  }

  #inlineValue(column: number, colon: number): JsonNode {
    const cursor = this.#cursor;
    const properties = this.#properties();
    if (cursor.lineIsOver) return this.#with(properties, () => this.#below(column, colon, true));
    if (cursor.char === "-" && cursor.separates(cursor.at)) {
      cursor.failHere("a list cannot begin behind a colon", "begin it on the next line, or write [ and ] around it");
    }
    return this.#with(properties, () => this.#inline(column));
  }

  /** Anything but a block collection. */
  #inline(parent: number): JsonNode {
    const cursor = this.#cursor;
    if (cursor.char === "|" || cursor.char === ">") return this.#count(readBlockText(cursor, parent));
    if (startsPlain(cursor)) return this.#count(readPlain(cursor, parent));
    const start = cursor.at;
    const node = this.#flow();
    cursor.skipSpaces();
    if (cursor.lineIsOver) return node;
    const rest = cursor.line.trimEnd();
    if (cursor.char === ":" && node.kind !== "string") this.#complexKey(start);
    return cursor.failHere(
      `after the end of this value nothing may follow`,
      `remove ${JSON.stringify(rest.slice(0, 60))}, or put it behind a #`,
    );
  }

  /** Where the key that stands at the cursor ends, if one does: on one line, with a colon behind it. */
  #keyEnd(): number | undefined {
    const cursor = this.#cursor;
    const start = cursor.at;
    let end: number | undefined;
    if (startsPlain(cursor)) {
      end = plainEnd(cursor, false);
    } else if (cursor.char === '"' || cursor.char === "'") {
      const quoted = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/.exec(cursor.line)?.[0];
      end = quoted === undefined ? undefined : start + quoted.length;
    }
    if (end === undefined) return undefined;
    let colon = end;
    while (/[ \t]/.test(cursor.charAt(colon))) colon++;
    return cursor.charAt(colon) === ":" && cursor.separates(colon) ? end : undefined;
  }

  /** Leaves the cursor at the colon. */
  #key(): JsonString {
    const cursor = this.#cursor;
    const start = cursor.at;
    const end = this.#keyEnd() ?? start;
    const quoted = cursor.char === '"' || cursor.char === "'";
    const key: JsonString = quoted
      ? readQuoted(cursor)
      : { kind: "string", start, end, value: cursor.text.slice(start, end) };
    cursor.at = end;
    cursor.skipSpaces();
    return key;
  }

  /** Brackets, quotes, an alias, or, inside of brackets, a plain text. */
  #flow(): JsonNode {
    const cursor = this.#cursor;
    switch (cursor.char) {
      case "[":
        return this.#nested(() => this.#flowSequence());
      case "{":
        return this.#nested(() => this.#flowMapping());
      case '"':
      case "'":
        return this.#count(readQuoted(cursor));
      case "*":
        return this.#alias();
    }
    if (startsPlain(cursor)) return this.#count(readFlowPlain(cursor));
    return cursor.failHere(`a text cannot begin with ${cursor.char}`, "put it in quotes");
  }

  #flowSequence(): JsonArray {
    const cursor = this.#cursor;
    const start = cursor.at++;
    const items: JsonNode[] = [];
    for (;;) {
      if (this.#closes("]", start)) break;
      const item = this.#flowValue();
      this.#skipInBrackets(start);
      items.push(this.#isFlowColon(item) ? this.#pair(item, start) : item);
      if (!this.#comma("]", start)) break;
    }
    cursor.at++;
    return this.#count({ kind: "array", start, end: cursor.at, items });
  }

  /** `[a: 1]` is a list of one mapping. */
  #pair(key: JsonNode, opener: number): JsonObject {
    const members = new Members(this.#cursor);
    const value = this.#flowMember(key, opener);
    members.add(this.#asKey(key), value);
    return this.#count({ kind: "object", start: key.start, end: members.end, members: members.all() });
  }

  #flowMapping(): JsonObject {
    const cursor = this.#cursor;
    const start = cursor.at++;
    const members = new Members(cursor);
    for (;;) {
      if (this.#closes("}", start)) break;
      const key = this.#flowValue();
      this.#skipInBrackets(start);
      const value = this.#isFlowColon(key) ? this.#flowMember(key, start) : this.#count({ ...span(key), kind: "null" });
      members.add(this.#asKey(key), value);
      if (!this.#comma("}", start)) break;
    }
    cursor.at++;
    return this.#count({ kind: "object", start, end: cursor.at, members: members.all() });
  }

  #flowMember(key: JsonNode, opener: number): JsonNode {
    const cursor = this.#cursor;
    cursor.at++;
    this.#skipInBrackets(opener);
    if (/^[,\]}]$/.test(cursor.char)) return this.#count({ ...span(key), kind: "null" });
    return this.#flowValue();
  }

  #flowValue(): JsonNode {
    const properties = this.#properties();
    this.#cursor.skipToContent(true);
    return this.#with(properties, () => this.#flow());
  }

  /** Behind a quoted key, as in JSON, no space need follow the colon. */
  #isFlowColon(key: JsonNode): boolean {
    const cursor = this.#cursor;
    if (cursor.char !== ":") return false;
    return (
      cursor.separates(cursor.at) ||
      /[,[\]{}]/.test(cursor.charAt(cursor.at + 1)) ||
      /["']/.test(cursor.charAt(key.start))
    );
  }

  #asKey(node: JsonNode): JsonString {
    if (node.kind === "object" || node.kind === "array") return this.#complexKey(node.start);
    const value = node.kind === "string" ? node.value : this.#cursor.text.slice(node.start, node.end);
    return { kind: "string", ...span(node), value };
  }

  #closes(closer: string, opener: number): boolean {
    this.#skipInBrackets(opener);
    return this.#cursor.char === closer;
  }

  /** @returns whether another item may follow. */
  #comma(closer: string, opener: number): boolean {
    this.#skipInBrackets(opener);
    const cursor = this.#cursor;
    if (cursor.char === closer) return false;
    if (cursor.char === ",") {
      cursor.at++;
      return true;
    }
    return cursor.failHere(`only , or ${closer} may follow here`, `write , before it, or ${closer}`);
  }

  #skipInBrackets(opener: number): void {
    this.#cursor.skipToContent(true);
    if (!this.#cursor.atEnd) return;
    const bracket = this.#cursor.charAt(opener);
    const closer = bracket === "[" ? "]" : "}";
    this.#cursor.fail(
      { start: opener, end: opener + 1 },
      `the ${bracket} that opens here is never closed`,
      `add ${closer}`,
    );
  }

  #complexKey(start: number): never {
    const helm = [start - 1, start].some((at) => this.#cursor.text.startsWith("{{", at));
    this.#cursor.fail(
      { start, end: this.#cursor.lineEnd(start) },
      "a mapping or list stands where a key should",
      helm ? "it is a template of Helm's: render it with `helm template` first" : "write a text as the key",
    );
  }

  /** &anchor and !tag. */
  #properties(): Properties {
    const cursor = this.#cursor;
    let properties: Properties = {};
    for (;;) {
      const match = /^(?:&([^\s,[\]{}]+)|!!([a-z]+)|![^\s,[\]{}]*)(?=[\s,[\]{}]|$)/.exec(cursor.line);
      if (match === null) return properties;
      const [whole, anchor, tag] = match;
      if (anchor === undefined && (tag === undefined || !Object.hasOwn(tagKinds, tag))) {
        cursor.fail({ start: cursor.at, end: cursor.at + whole.length }, `the tag ${whole} is not known`, "remove it");
      }
      properties = { ...properties, ...(anchor !== undefined && { anchor }), ...(tag !== undefined && { tag }) };
      cursor.at += whole.length;
      cursor.skipSpaces();
    }
  }

  #with({ anchor, tag }: Properties, read: () => JsonNode): JsonNode {
    const before = this.#nodes;
    const start = this.#cursor.at;
    const plain = startsPlain(this.#cursor);
    let node = read();
    if (tag !== undefined) node = this.#tagged(node, tag, plain ? start : undefined);
    // Only now: an anchor inside of what it names would never end.
    if (anchor !== undefined) this.#anchors.set(anchor, { node, size: this.#nodes - before });
    return node;
  }

  #tagged(node: JsonNode, tag: string, plainStart: number | undefined): JsonNode {
    if (tag === "str" && plainStart === node.start && node.kind !== "string") {
      return { kind: "string", ...span(node), value: this.#cursor.text.slice(node.start, node.end) };
    }
    if (tagKinds[tag] === node.kind) return node;
    return this.#cursor.fail(span(node), `the tag !!${tag} does not fit this value`, "remove the tag");
  }

  #alias(): JsonNode {
    const cursor: Cursor = this.#cursor;
    const [word = "*", name = ""] = /^\*([^\s,[\]{}]+)/.exec(cursor.line) ?? [];
    const known = this.#anchors.get(name);
    const here = { start: cursor.at, end: cursor.at + word.length };
    if (known === undefined) cursor.fail(here, `there is no anchor &${name} above`, "write the value out");
    this.#nodes += known.size;
    cursor.at = here.end;
    return this.#count(known.node);
  }

  #count<T extends JsonNode>(node: T): T {
    if (++this.#nodes <= MAX_NODES) return node;
    return this.#cursor.fail(span(node), `more than ${MAX_NODES} values`, "check that it is the right file");
  }

  #nested<T extends JsonNode>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH)
      this.#cursor.failHere(`nested more than ${MAX_DEPTH} deep`, "check that it is the right file");
    const node = read();
    this.#depth--;
    return node;
  }
}

const tagKinds: Readonly<Record<string, JsonNode["kind"]>> = {
  str: "string",
  int: "number",
  float: "number",
  bool: "boolean",
  null: "null",
  map: "object",
  seq: "array",
};

const hasAny = ({ anchor, tag }: Properties): boolean => anchor !== undefined || tag !== undefined;
const span = ({ start, end }: JsonSpan): JsonSpan => ({ start, end });

import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from "yaml";
import type { JsonDocument, JsonMember, JsonNode, JsonSpan } from "../../base/json.ts";
import { JsonError } from "../../base/json-error.ts";

/** Aliases of aliases (a "billion laughs") and deep nesting end here. */
const MAX_NODES = 500_000;
const MAX_DEPTH = 100;

/** One document of the library's as the tree that all our readers take. */
export class YamlTree {
  readonly #about: Omit<JsonDocument, "root">;
  readonly #document: Document.Parsed;
  /** By name; an alias means the last one above it. */
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  #nodes = 0;
  #depth = 0;

  constructor(about: Omit<JsonDocument, "root">, document: Document.Parsed) {
    this.#about = about;
    this.#document = document;
  }

  /** Undefined: the document is empty. @throws JsonError. */
  root(): JsonNode | undefined {
    const { contents } = this.#document;
    if (contents === null || (isScalar(contents) && contents.value === null && contents.source === ""))
      return undefined;
    return this.#read(contents, { start: 0, end: 0 });
  }

  #read(node: Node | null, otherwise: JsonSpan): JsonNode {
    if (node === null) return { kind: "null", ...otherwise };
    const span = spanOf(node, otherwise);
    if (++this.#nodes > MAX_NODES) this.#fail(span, `more than ${MAX_NODES} values`, "check that it is the right file");
    if (isAlias(node)) return this.#alias(node.source, span);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return this.#scalar(node.value, node.source ?? "", span);
    if (this.#depth === MAX_DEPTH)
      this.#fail(span, `nested more than ${MAX_DEPTH} deep`, "check that it is the right file");
    this.#depth++;
    this.#open.add(node);
    try {
      if (isMap(node)) return { kind: "object", ...span, members: this.#members(node, span) };
      if (isSeq(node))
        return { kind: "array", ...span, items: node.items.map((item) => this.#read(item as Node | null, span)) };
    } finally {
      this.#depth--;
      this.#open.delete(node);
    }
    return this.#fail(span, "this is no value", "compare it with an example");
  }

  #alias(name: string, span: JsonSpan): JsonNode {
    const target = this.#anchors.get(name);
    if (target === undefined || this.#open.has(target))
      this.#fail(span, `there is no anchor &${name} above`, "write the value out");
    return { ...this.#read(target, span), ...span };
  }

  #scalar(value: unknown, text: string, span: JsonSpan): JsonNode {
    switch (typeof value) {
      case "string":
        return { kind: "string", ...span, value };
      case "number":
        return { kind: "number", ...span, value, text };
      case "boolean":
        return { kind: "boolean", ...span, value };
      default:
        return { kind: "null", ...span };
    }
  }

  /** No key twice (the library saw to that), and "<<" as the fields of other mappings (yaml.org/type/merge), which its own overrule. */
  #members(map: YAMLMap, span: JsonSpan): readonly JsonMember[] {
    const own = new Map<string, JsonMember>();
    const merged = new Map<string, JsonMember>();
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const keySpan = spanOf(pair.key, span);
      if (!isScalar(pair.key)) this.#complexKey(keySpan);
      const value = this.#read(pair.value, { start: keySpan.end, end: keySpan.end });
      const key = keyOf(pair.key.value, pair.key.source);
      if (key === "<<" && pair.key.type === "PLAIN") this.#merge(value, merged);
      else own.set(key, { key, keySpan, value });
    }
    return [...[...merged.values()].filter(({ key }) => !own.has(key)), ...own.values()];
  }

  #merge(value: JsonNode, merged: Map<string, JsonMember>): void {
    for (const part of value.kind === "array" ? value.items : [value]) {
      if (part.kind !== "object") this.#fail(part, "only a mapping can be merged", "give << an alias of one");
      for (const member of part.members) if (!merged.has(member.key)) merged.set(member.key, member);
    }
  }

  #complexKey(span: JsonSpan): never {
    const helm = this.#about.text.slice(Math.max(0, span.start - 1), span.end + 1).includes("{{");
    return this.#fail(
      span,
      "a mapping or list stands where a key should",
      helm ? "it is a template of Helm's: render it with `helm template` first" : "write a text as the key",
    );
  }

  #fail(span: JsonSpan, message: string, remedy: string): never {
    throw new JsonError(this.#about, { start: span.start, end: Math.max(span.end, span.start + 1) }, message, remedy);
  }
}

/** A key is a text, whatever it looks like: 1, true, null. */
const keyOf = (value: unknown, source: string | undefined): string =>
  typeof value === "string" ? value : typeof value === "symbol" ? "<<" : (source ?? String(value));

function spanOf(node: Node, otherwise: JsonSpan): JsonSpan {
  const { range } = node;
  return range === undefined || range === null ? otherwise : { start: range[0], end: range[1] };
}

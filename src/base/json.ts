import { type ErrorCode, TwillError } from "./errors.ts";
import { diagnose, type Expectation } from "./json-diagnosis.ts";
import { JsonError } from "./json-error.ts";

/**
 * JSON (RFC 8259) as a tree whose values and keys know where they stand in the text, so that what is wrong with a
 * configuration can be pointed at. Accepts exactly what JSON.parse accepts, but for duplicate keys and the limits.
 */
export interface JsonDocument {
  readonly text: string;
  /** What the reader calls it: a file name, "the network configuration on stdin". */
  readonly source: string;
  /** Code of the errors about this document: `invalid` when a person wrote it, `corrupt` when a program did. */
  readonly code: ErrorCode;
  readonly root: JsonNode;
}

/** Offsets into the text in UTF-16 code units, `end` exclusive. positionAt of json-error.ts makes lines and columns of them. */
export interface JsonSpan {
  readonly start: number;
  readonly end: number;
}

export type JsonNode = JsonObject | JsonArray | JsonString | JsonNumber | JsonBoolean | JsonNull;

export interface JsonObject extends JsonSpan {
  readonly kind: "object";
  /** In the order of the text; no key twice. */
  readonly members: readonly JsonMember[];
}
export interface JsonMember {
  readonly key: string;
  readonly keySpan: JsonSpan;
  readonly value: JsonNode;
}
export interface JsonArray extends JsonSpan {
  readonly kind: "array";
  readonly items: readonly JsonNode[];
}
export interface JsonString extends JsonSpan {
  readonly kind: "string";
  readonly value: string;
}
/** `text` is the number as written: the value of 9007199254740993 or 1e400 has lost what the text still says. */
export interface JsonNumber extends JsonSpan {
  readonly kind: "number";
  readonly value: number;
  readonly text: string;
}
export interface JsonBoolean extends JsonSpan {
  readonly kind: "boolean";
  readonly value: boolean;
}
export interface JsonNull extends JsonSpan {
  readonly kind: "null";
}

export interface JsonOptions {
  readonly source?: string;
  readonly code?: ErrorCode;
  /** Of the text, in UTF-16 code units or, given bytes, in bytes. */
  readonly maxLength?: number;
  readonly maxDepth?: number;
}

/** @throws JsonError (code `invalid`, or the one asked for) naming the first mistake, its place and what would be right. */
export function parseJson(input: string | Uint8Array, options: JsonOptions = {}): JsonDocument {
  const source = options.source ?? "JSON text";
  const code = options.code ?? "invalid";
  const maxLength = options.maxLength ?? 1 << 20;
  if (input.length > maxLength) {
    throw new TwillError(code, `${input.length} long; at most ${maxLength} are read`, {
      operation: "read",
      object: source,
      remedy: "check that it is the right file",
    });
  }
  const text = typeof input === "string" ? input : decodeUtf8(input, source, code);
  const parser = new Parser({ text, source, code }, options.maxDepth ?? 64);
  return { text, source, code, root: parser.document() };
}

/** The plain value, as JSON.parse gives it. */
export function plainValue(node: JsonNode): unknown {
  switch (node.kind) {
    case "object":
      // fromEntries defines "__proto__" as a key like any other.
      return Object.fromEntries(node.members.map((member) => [member.key, plainValue(member.value)]));
    case "array":
      return node.items.map(plainValue);
    case "null":
      return null;
    default:
      return node.value;
  }
}

function decodeUtf8(bytes: Uint8Array, source: string, code: ErrorCode): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TwillError(code, "it is not UTF-8 text", {
      operation: "read",
      object: source,
      remedy: "save it as UTF-8",
      cause,
    });
  }
}

const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** What makes a number or a word longer than JSON allows it to be: 10.244.0.0/16, 0x10, truely. */
const glued = /[0-9A-Za-z_.+\-/:]/;
const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
const words = { t: "true", f: "false", n: "null" } as const;

class Parser {
  readonly #document: Omit<JsonDocument, "root">;
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;
  #depth = 0;

  constructor(document: Omit<JsonDocument, "root">, maxDepth: number) {
    this.#document = document;
    this.#text = document.text;
    this.#maxDepth = maxDepth;
  }

  document(): JsonNode {
    const root = this.#value({ expected: "value" });
    this.#space();
    if (this.#at < this.#text.length) this.#fail({ expected: "end" });
    return root;
  }

  #fail(expectation: Expectation): never {
    const { start, end, message, remedy } = diagnose(this.#text, this.#at, expectation);
    throw new JsonError(this.#document, { start, end }, message, remedy);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #value(expectation: Expectation): JsonNode {
    this.#space();
    const first = this.#text[this.#at];
    switch (first) {
      case "{":
        return this.#nested(() => this.#object());
      case "[":
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case "t":
      case "f":
      case "n":
        return this.#word(words[first], expectation);
      default:
        return this.#number(expectation);
    }
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > this.#maxDepth) {
      const span = { start: this.#at, end: this.#at + 1 };
      throw new JsonError(
        this.#document,
        span,
        `nested more than ${this.#maxDepth} deep`,
        "check that it is the right file",
      );
    }
    const result = parse();
    this.#depth--;
    return result;
  }

  #object(): JsonObject {
    const start = this.#at++;
    const members: JsonMember[] = [];
    const seen = new Map<string, JsonSpan>();
    this.#space();
    if (this.#text[this.#at] === "}") return { kind: "object", start, end: ++this.#at, members };
    let comma: number | undefined;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail({ expected: "key", opener: start, comma });
      const { value: key, start: keyStart, end: keyEnd } = this.#string();
      const keySpan = { start: keyStart, end: keyEnd };
      const first = seen.get(key);
      if (first !== undefined) this.#fail({ expected: "new-key", key, keySpan, first });
      seen.set(key, keySpan);
      this.#space();
      if (this.#text[this.#at] !== ":") this.#fail({ expected: "colon", key });
      this.#at++;
      const value = this.#value({ expected: "value", key });
      members.push({ key, keySpan, value });
      this.#space();
      const next = this.#text[this.#at];
      if (next === "}") return { kind: "object", start, end: ++this.#at, members };
      if (next !== ",") this.#fail({ expected: "separator", opener: start, previous: value, key });
      comma = this.#at++;
    }
  }

  #array(): JsonArray {
    const start = this.#at++;
    const items: JsonNode[] = [];
    this.#space();
    if (this.#text[this.#at] === "]") return { kind: "array", start, end: ++this.#at, items };
    let comma: number | undefined;
    for (;;) {
      const item = this.#value({ expected: "value", opener: start, comma });
      items.push(item);
      this.#space();
      const next = this.#text[this.#at];
      if (next === "]") return { kind: "array", start, end: ++this.#at, items };
      if (next !== ",") this.#fail({ expected: "separator", opener: start, previous: item });
      comma = this.#at++;
    }
  }

  #string(): JsonString {
    const start = this.#at++;
    let value = "";
    for (;;) {
      value += this.#plainCharacters();
      const next = this.#text[this.#at];
      if (next === '"') return { kind: "string", start, end: ++this.#at, value };
      if (next !== "\\") this.#fail({ expected: "string", start });
      value += this.#escape(start);
    }
  }

  /** Up to a quote, a backslash, a control character (RFC 8259 section 7 forbids them) or the end of the text. */
  #plainCharacters(): string {
    const start = this.#at;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (!(code >= 0x20) || code === 0x22 || code === 0x5c) return this.#text.slice(start, this.#at);
      this.#at++;
    }
  }

  #escape(start: number): string {
    const letter = this.#text[this.#at + 1] ?? "";
    const simple = escapes[letter];
    if (simple !== undefined) {
      this.#at += 2;
      return simple;
    }
    const digits = this.#text.slice(this.#at + 2, this.#at + 6);
    if (letter !== "u" || !/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail({ expected: "escape", start });
    this.#at += 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #word(word: "true" | "false" | "null", expectation: Expectation): JsonNode {
    const start = this.#at;
    const end = start + word.length;
    if (!this.#text.startsWith(word, start) || glued.test(this.#text[end] ?? "")) this.#fail(expectation);
    this.#at = end;
    return word === "null" ? { kind: "null", start, end } : { kind: "boolean", start, end, value: word === "true" };
  }

  #number(expectation: Expectation): JsonNumber {
    const start = this.#at;
    numberToken.lastIndex = start;
    const text = numberToken.exec(this.#text)?.[0];
    if (text === undefined || glued.test(this.#text[start + text.length] ?? "")) this.#fail(expectation);
    this.#at = start + text.length;
    return { kind: "number", start, end: this.#at, value: Number(text), text };
  }
}

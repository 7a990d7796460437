import type { JsonMember, JsonNode, JsonSpan, JsonString } from "../../base/json.ts";
import { positionAt } from "../../base/json-error.ts";
import type { Cursor } from "./cursor.ts";

/** Of one mapping: no key twice, and "<<" as the fields of other mappings (yaml.org/type/merge), which its own overrule. */
export class Members {
  readonly #cursor: Cursor;
  readonly #own = new Map<string, JsonMember>();
  readonly #merged = new Map<string, JsonMember>();
  end = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  add(key: JsonString, value: JsonNode): void {
    this.end = Math.max(key.end, value.end);
    if (key.value === "<<" && this.#cursor.charAt(key.start) === "<") {
      this.#merge(value);
      return;
    }
    const twin = this.#own.get(key.value);
    if (twin !== undefined) {
      const { line } = positionAt(this.#cursor.text, twin.keySpan.start);
      const message = `the key ${JSON.stringify(key.value)} stands twice in one mapping, first on line ${line}`;
      this.#cursor.fail(span(key), message, "keep one of the two");
    }
    this.#own.set(key.value, { key: key.value, keySpan: span(key), value });
  }

  #merge(value: JsonNode): void {
    for (const part of value.kind === "array" ? value.items : [value]) {
      if (part.kind !== "object")
        this.#cursor.fail(span(part), "only a mapping can be merged", "give << an alias of one");
      for (const member of part.members) {
        if (!this.#merged.has(member.key)) this.#merged.set(member.key, member);
      }
    }
  }

  all(): readonly JsonMember[] {
    return [...[...this.#merged.values()].filter(({ key }) => !this.#own.has(key)), ...this.#own.values()];
  }
}

const span = ({ start, end }: JsonSpan): JsonSpan => ({ start, end });

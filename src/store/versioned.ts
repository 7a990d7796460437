import { TwillError } from "../base/errors.ts";

export type JsonObject = { readonly [field: string]: unknown };

/** How one kind of object is stored: JSON with a `version`. */
export interface VersionedFormat<T> {
  /** What such an object is called in errors: "node", "subnet claim". */
  readonly what: string;
  /** From 1. Raised when an older program could misread what is written; a new optional field does not need that. */
  readonly version: number;
  /** Names of this version's fields. Any other is kept by encode when it is told what was there before. */
  readonly fields: readonly string[];
  /** @throws TwillError `invalid` when a field is missing or wrong. */
  read(fields: JsonObject): T;
  write(value: T): JsonObject;
  /** Step n turns fields of version n into those of n + 1. Versions without a step can no longer be read. */
  readonly upgrades?: Readonly<Record<number, (fields: JsonObject) => JsonObject>>;
}

export interface Codec<T> {
  readonly version: number;
  /**
   * `over`: the bytes that the new ones replace; fields that this program does not know are taken over from them, so
   * that a node of an older release does not strip what a newer one wrote. @throws TwillError as decode, for `over`.
   */
  encode(value: T, over?: Uint8Array): Uint8Array;
  /**
   * Reads this version and all older ones that have upgrades. `object`: its kind and name, for errors.
   * @throws TwillError `unsupported` for a version of a later Twill, `corrupt` for what is not such an object.
   */
  decode(bytes: Uint8Array, object: string): T;
}

export function versioned<T>(format: VersionedFormat<T>): Codec<T> {
  return {
    version: format.version,
    encode: (value, over) => {
      const kept = over === undefined ? {} : unknownFields(format, current(format, over, format.what));
      const written = { version: format.version, ...format.write(value), ...kept };
      return new TextEncoder().encode(JSON.stringify(written));
    },
    decode: (bytes, object) => {
      const fields = current(format, bytes, object);
      try {
        return format.read(fields);
      } catch (cause) {
        if (!(cause instanceof TwillError)) throw cause;
        throw new TwillError("corrupt", `is not a ${format.what}`, { operation: "read", object, cause });
      }
    },
  };
}

/** The fields as the current version has them. */
function current<T>(format: VersionedFormat<T>, bytes: Uint8Array, object: string): JsonObject {
  const stored = parse(format.what, bytes, object);
  const found = stored.version;
  const details = { operation: "read", object };
  if (typeof found !== "number" || !Number.isInteger(found) || found < 1) {
    throw new TwillError("corrupt", `is a ${format.what} without a version`, details);
  }
  if (found > format.version) {
    throw new TwillError(
      "unsupported",
      `is a ${format.what} of version ${found}; this Twill reads up to ${format.version}`,
      {
        ...details,
        remedy: "upgrade Twill on this node",
      },
    );
  }
  let fields: JsonObject = stored;
  for (let version = found; version < format.version; version++) {
    const upgrade = format.upgrades?.[version];
    if (upgrade === undefined) {
      throw new TwillError("unsupported", `is a ${format.what} of version ${found}, which is no longer read`, {
        ...details,
        remedy: "run the Twill release before this one first: it rewrites the object",
      });
    }
    fields = upgrade(fields);
  }
  return fields;
}

function parse(what: string, bytes: Uint8Array, object: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TwillError("corrupt", `is not a ${what}: its value is not JSON`, { operation: "read", object, cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TwillError("corrupt", `is not a ${what}: its value is not a JSON object`, { operation: "read", object });
  }
  return value as JsonObject;
}

function unknownFields<T>(format: VersionedFormat<T>, fields: JsonObject): JsonObject {
  const known = new Set(["version", ...format.fields]);
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !known.has(name)));
}

import { expect, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { type JsonObject, versioned } from "./versioned.ts";

interface Person {
  readonly name: string;
  readonly nickname?: string;
}

function text(fields: JsonObject, field: string): string {
  const value = fields[field];
  if (typeof value !== "string") throw new TwillError("invalid", `${field} is not a text`);
  return value;
}

/** Version 1 had first and last name apart; version 2 joined them under "full"; version 3 calls it "name". */
const people = versioned<Person>({
  what: "person",
  version: 3,
  fields: ["name", "nickname"],
  read: (fields) => ({
    name: text(fields, "name"),
    ...(fields.nickname === undefined ? {} : { nickname: text(fields, "nickname") }),
  }),
  write: (person) => ({ ...person }),
  upgrades: {
    1: ({ first, last, ...rest }) => ({ ...rest, full: `${first} ${last}` }),
    2: ({ full, ...rest }) => ({ ...rest, name: full }),
  },
});

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const json = (value: Uint8Array) => JSON.parse(new TextDecoder().decode(value));
const failure = (value: Uint8Array) => {
  try {
    people.decode(value, "people/ada");
  } catch (error) {
    if (error instanceof TwillError) return error;
  }
  throw new Error("a TwillError was expected");
};

test("what was encoded is decoded, with its version written beside it", () => {
  const ada = { name: "Ada Lovelace", nickname: "Countess" };
  expect(people.decode(people.encode(ada), "people/ada")).toEqual(ada);
  expect(json(people.encode(ada))).toEqual({ version: 3, ...ada });
});

test("what earlier versions wrote is read", () => {
  const written = [
    { version: 1, first: "Ada", last: "Lovelace" },
    { version: 2, full: "Ada Lovelace" },
  ];
  for (const each of written) expect(people.decode(bytes(each), "people/ada")).toEqual({ name: "Ada Lovelace" });
});

test("a later version is refused, with what to do", () => {
  const error = failure(bytes({ version: 4, name: "Ada" }));
  expect(error.code).toBe("unsupported");
  expect(error.describe()).toBe(
    "read people/ada: is a person of version 4; this Twill reads up to 3 (upgrade Twill on this node)",
  );
});

test("fields that this program does not know are kept when it writes over them; known ones can be dropped", () => {
  const before = bytes({ version: 3, name: "Ada", nickname: "Countess", born: { year: 1815 } });
  expect(json(people.encode({ name: "Augusta" }, before))).toEqual({
    version: 3,
    name: "Augusta",
    born: { year: 1815 },
  });
  const older = bytes({ version: 1, first: "Ada", last: "L", born: 1815 });
  expect(json(people.encode({ name: "Ada" }, older))).toEqual({ version: 3, name: "Ada", born: 1815 });
});

test("what is no such object is corrupt, naming it", () => {
  const wrong = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"x"',
    "{}",
    '{"version":0}',
    '{"version":"3"}',
    '{"version":1.5}',
    '{"version":3}',
  ];
  for (const each of wrong) {
    const error = failure(new TextEncoder().encode(each));
    expect([each, error.code, error.object]).toEqual([each, "corrupt", "people/ada"]);
  }
  expect(failure(Uint8Array.from([0xff, 0xfe])).code).toBe("corrupt");
});

test("a version older than the oldest upgrade says which release can still read it", () => {
  const recent = versioned<string>({
    what: "word",
    version: 3,
    fields: ["word"],
    read: (fields) => text(fields, "word"),
    write: (word) => ({ word }),
    upgrades: { 2: (fields) => fields },
  });
  expect(() => recent.decode(bytes({ version: 1, word: "x" }), "words/x")).toThrow("is no longer read");
  expect(recent.decode(bytes({ version: 2, word: "x" }), "words/x")).toBe("x");
});

test("random bytes never fail otherwise than with a TwillError", () => {
  const seed = 20260901;
  const random = seededRandom(seed);
  const valid = people.encode({ name: "Ada", nickname: "C" });
  for (let round = 0; round < 2000; round++) {
    const mangled = round % 2 === 0 ? random.bytes(random.below(60)) : Uint8Array.from(valid);
    if (round % 2 === 1) mangled[random.below(mangled.length)] = random.below(256);
    try {
      const person = people.decode(mangled, "people/fuzz");
      expect(people.decode(people.encode(person), "people/fuzz")).toEqual(person);
    } catch (error) {
      if (!(error instanceof TwillError)) throw new Error(`seed ${seed}, round ${round}: ${error}`);
    }
  }
});

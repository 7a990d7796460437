import { expect, test } from "bun:test";
import { TwillError } from "./errors.ts";
import { parseJson, plainValue } from "./json.ts";
import { JsonError, positionAt } from "./json-error.ts";
import { pick, type Random, seededRandom } from "./random.ts";

function mistake(text: string | Uint8Array): JsonError {
  try {
    parseJson(text, { source: "net-conf.json" });
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

test("keeps the place of every value and key", () => {
  const text = '{\n  "Network": "10.0.0.0/8",\n  "Backend": {"VNI": 1}\n}';
  const { root } = parseJson(text);
  if (root.kind !== "object") throw new Error("not an object");
  const [network, backend] = root.members;
  expect(positionAt(text, network?.keySpan.start ?? 0)).toEqual({ line: 2, column: 3 });
  expect(positionAt(text, network?.value.start ?? 0)).toEqual({ line: 2, column: 14 });
  expect(positionAt(text, backend?.value.start ?? 0)).toEqual({ line: 3, column: 14 });
  expect(text.slice(network?.value.start, network?.value.end)).toBe('"10.0.0.0/8"');
});

test("prose behind a value", () => {
  const error = mistake('{\n  "Backend": {\n    "Directrouting": true by default absent\n  }\n}');
  expect(error.code).toBe("invalid");
  expect(error.position).toEqual({ line: 3, column: 27 });
  expect(error.message).toBe('after the value true of "Directrouting" only , or } may follow');
  expect(error.remedy).toBe("remove `by default absent`");
  expect(error.describe()).toBe(
    [
      'read net-conf.json line 3, column 27: after the value true of "Directrouting" only , or } may follow (remove `by default absent`)',
      '    "Directrouting": true by default absent',
      "                          ^^^^^^^^^^^^^^^^^",
    ].join("\n"),
  );
});

/** text, line:column, part of the message, part of the remedy */
const mistakes: readonly (readonly [string, string, string, string])[] = [
  ['{"a": 1,}', "1:8", "no comma may stand before }", "remove the comma"],
  ["[1,]", "1:3", "no comma may stand before ]", "remove the comma"],
  ['{"a": 1,,"b": 2}', "1:9", "comma too many", "remove"],
  ['{"a": 1\n "b": 2}', "1:8", "after the value 1 of", "write a comma here"],
  ["[1 2]", "1:3", "after the value 1 only , or ]", "write a comma here"],
  ['{"a": 1; "b": 2}', "1:8", "only , or }", "instead of ;"],
  ["{'a': 1}", "1:2", "double quotes", 'write "a"'],
  [`{"a": 'b'}`, "1:7", "double quotes", 'write "b"'],
  ['{"a": 1 // one\n}', "1:9", "no comments", "remove `// one`"],
  ['{"a": /* x */ 1}', "1:7", "no comments", "remove `/* x */`"],
  ['# x\n{"a": 1}', "1:1", "no comments", "remove `# x`"],
  ["{a: 1}", "1:2", "not quoted", 'write "a"'],
  ['{"a": 1, "a": 2}', "1:10", '"a" stands twice in one object, first in line 1', "keep one"],
  ['{"a": "b}', "1:7", 'ends inside of "b}', "close it"],
  ['{"a": "b\n}', "1:7", "not closed at the end of its line", "close it"],
  ['{"a": "b\tc"}', "1:9", "a tab may not stand in a text", "\\t"],
  ['{"a": "b\u0001c"}', "1:9", "U+0001 may not stand in a text", "\\u0001"],
  ['{"a": NaN}', "1:7", "`NaN` is no JSON value", "finite"],
  ['{"a": -Infinity}', "1:7", "`-Infinity` is no JSON value", "finite"],
  ['{"a": True}', "1:7", "`True` is no JSON value", "lower case"],
  ['{"a": yes}', "1:7", "`yes` is no JSON value", "write true"],
  ['{"a": None}', "1:7", "`None` is no JSON value", "leave the field out"],
  ['{"a": truely}', "1:7", "`truely` is no JSON value", 'write "truely" in double quotes'],
  ['{"a": 10.244.0.0/16}', "1:7", "`10.244.0.0/16` is no JSON value", 'write "10.244.0.0/16" in double quotes'],
  ['{"a": 0x10}', "1:7", "no JSON value", "write 16"],
  ['{"a": 012}', "1:7", "no JSON value", "write 12"],
  ['{"a": +1}', "1:7", "no JSON value", "write 1, without +"],
  ['{"a": .5}', "1:7", "no JSON value", "write 0.5"],
  ['{"a": 5.}', "1:7", "no JSON value", "write 5"],
  ['{"a": }', "1:7", 'the value of "a" is missing', "write a value"],
  ['{"a"}', "1:5", "a colon must follow", 'write "a":'],
  ['{"a"= 1}', "1:5", "a colon must follow", "instead of ="],
  ['{"a": [1}', "1:9", "the list opened in line 1 cannot be closed by }", "write ]"],
  ['{"a": 1]', "1:8", "the object opened in line 1 cannot be closed by ]", "write }"],
  ['{\n"a": 1', "2:7", "the object opened in line 1 is not closed", "add }"],
  ['{"a": "\\x"}', "1:8", "\\x is no escape", "backslash"],
  ['{"a": "\\u12"}', "1:8", "is no escape", "four hex digits"],
  ['{"a": 1} trailing', "1:10", "nothing may follow", "remove `trailing`"],
  ["\ufeff{}", "1:1", "byte order mark", "without BOM"],
  ["", "1:1", "empty", "write at least {}"],
  [" \n ", "2:2", "empty", "write at least {}"],
  ['{"a":\u00a01}', "1:6", "U+00A0, which cannot be seen", "remove it"],
  ["{“a”: 1}", "1:2", "typographic quote", "plain double quote"],
  ["{1: 2}", "1:2", "not quoted", 'write "1"'],
];
for (const [text, place, message, remedy] of mistakes) {
  test(`mistake: ${JSON.stringify(text)}`, () => {
    const error = mistake(text);
    expect(`${error.position.line}:${error.position.column}`).toBe(place);
    expect(error.message).toContain(message);
    expect(error.remedy ?? "").toContain(remedy);
    expect(error.object).toStartWith("net-conf.json line ");
  });
}

test("limits: depth, length, UTF-8", () => {
  expect(() => parseJson("[".repeat(65) + "]".repeat(65))).toThrow("nested more than 64 deep");
  expect(plainValue(parseJson("[".repeat(64) + "]".repeat(64)).root)).toBeArray();
  expect(() => parseJson(" ".repeat(11), { maxLength: 10 })).toThrow("at most 10");
  expect(() => parseJson(Uint8Array.from([0x22, 0xff, 0x22]))).toThrow("not UTF-8");
  const corrupt = () => parseJson("{", { code: "corrupt" });
  expect(corrupt).toThrow(expect.objectContaining({ code: "corrupt" }));
});

test("numbers keep their text", () => {
  const { root } = parseJson("[9007199254740993, 1e400, 1.0]");
  if (root.kind !== "array") throw new Error("not a list");
  expect(root.items.map((item) => (item.kind === "number" ? item.text : ""))).toEqual([
    "9007199254740993",
    "1e400",
    "1.0",
  ]);
});

test('"__proto__" is a key like any other', () => {
  const value = plainValue(parseJson('{"__proto__": {"polluted": true}}').root);
  expect(Object.keys(value as object)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
});

const texts = ["", "a", "Network", 'q"uote', "back\\slash", "\n\t\u0000", "ü😀\ud800", "10.0.0.0/8", "\u2028"];

function randomValue(random: Random, depth: number): unknown {
  switch (random.below(depth > 4 ? 6 : 8)) {
    case 0:
      return null;
    case 1:
      return random.below(2) === 0;
    case 2:
      return random.below(100000) - 50000;
    case 3:
      return (random.below(1000) / 7) * 10 ** (random.below(60) - 30);
    case 4:
    case 5:
      return pick(random, texts);
    case 6:
      return Array.from({ length: random.below(4) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, (_, index) => [
          `${pick(random, texts)}${index}`,
          randomValue(random, depth + 1),
        ]),
      );
  }
}

const fragments = [
  ..."{}[]\",:0123456789.eE+-tfnul\\ \n\t'/#\ufeff\u00a0;",
  "true",
  "NaN",
  '""',
  "\\u12",
  "//",
  "\u0001",
];

/** Deletes, doubles, replaces or inserts at a few random places. */
function mutate(random: Random, text: string): string {
  let mutated = text;
  for (let count = random.below(3) + 1; count > 0; count--) {
    const at = random.below(mutated.length + 1);
    const length = random.below(3);
    const insert = random.below(2) === 0 ? pick(random, fragments) : "";
    mutated = mutated.slice(0, at) + insert + mutated.slice(at + length);
  }
  return mutated;
}

const duplicate = (error: unknown): boolean => error instanceof JsonError && error.message.includes("stands twice");

test("agrees with JSON.parse on random documents and on mutations of them", () => {
  const seed = 20260301;
  const random = seededRandom(seed);
  let accepted = 0;
  let refused = 0;
  for (let round = 0; round < 20000; round++) {
    const value = randomValue(random, 0);
    const valid = JSON.stringify(value, null, random.below(3));
    const text = round % 4 === 0 ? valid : mutate(random, valid);
    let expected: { value: unknown } | undefined;
    try {
      expected = { value: JSON.parse(text) };
    } catch {
      // Ours must refuse it, too.
    }
    try {
      const actual = plainValue(parseJson(text).root);
      if (expected === undefined) throw new Error(`seed ${seed}: accepted ${JSON.stringify(text)}`);
      expect(actual).toEqual(expected.value);
      accepted++;
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      if (expected !== undefined && !duplicate(error)) {
        throw new Error(`seed ${seed}: refused ${JSON.stringify(text)}: ${error.describe()}`);
      }
      expect(error.remedy).toBeString();
      refused++;
    }
  }
  expect(accepted).toBeGreaterThan(5000);
  expect(refused).toBeGreaterThan(5000);
});

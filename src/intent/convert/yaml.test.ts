import { describe, expect, test } from "bun:test";
import { isCode, TwillError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { flannelManifest } from "./manifests.fixture.ts";
import { parseYaml } from "./yaml.ts";

test("several documents, empty ones left out, each with its line", () => {
  const documents = parseYaml("\uFEFF%YAML 1.2\n---\na: 1\n...\n---\n# nothing\n---\nb: |\n  ---x\n  c: 2\n", "f");
  expect(documents).toEqual([
    { value: { a: 1 }, line: 2 },
    { value: { b: "---x\nc: 2\n" }, line: 7 },
  ]);
  expect(parseYaml("", "f")).toEqual([]);
});

test("anchors and merges are followed", () => {
  expect(parseYaml("a: &x {q: 1}\nb:\n  <<: *x\n  z: 2\n", "f")[0]?.value).toEqual({ a: { q: 1 }, b: { q: 1, z: 2 } });
});

describe("one error, with file and line", () => {
  for (const [what, text, line] of [
    ["a tab", "a:\n\tb: 1\n", 2],
    ["a wrong indent", "x: 0\na: 1\n b: 2\n", 3],
    ["in the second document", "a: 1\n---\nb:\n  - c\n  d: 1\n", 5],
    ["brackets that stay open: where they open", "a: 1\nb: [1, 2\nc: 3\n", 2],
    ["quotes that stay open", 'a: 1\nb: "x\n', 2],
    ["an alias of nothing", "a: 1\nb: *x\n", 2],
    ["behind brackets over many lines", `a: [\n${"  1,\n".repeat(40)}  2]\nb: 1\nc: d: e\nf: 1\n`, 44],
    [
      "in a long document",
      `x:\n  - b\n${Array.from({ length: 5000 }, (_, n) => `k${n}: 1\n`).join("")}\tz: 1\ny: 2\n`,
      5003,
    ],
    ["a key twice", "a: 1\nb:\n  - c: 1\n    d: 2\n    c: 3\n", 5],
    ["a quoted key twice", '"a": 1\nb: 1\na: 2\n', 3],
    ["a key twice, in braces", "x: {a: 1, b: 2, a: 3}\n", 1],
    ["a key twice behind a block of text", "a: |\n  a: 1\n  a: 2\na: 2\n", 4],
    ["an alias inside itself", "x: 1\n---\na: &a [*a]\n", 2],
    ["a template of Helm's", "a: {{ .Values.x }}\n", 1],
  ] as const) {
    test(what, () => {
      let error: unknown;
      try {
        parseYaml(text, "some.yaml");
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(TwillError);
      expect(isCode(error, "invalid") && error.object).toBe(`some.yaml line ${line}`);
    });
  }
});

test("what only looks like a key twice is none", () => {
  for (const text of [
    "- a: 1\n- a: 2\n",
    "x:\n  a: 1\ny:\n  a: 1\n",
    'a: "b:\n  c: 1\n  c: 2"\n',
    "x:\n- a: 1\n  b: 2\n- a: 1\n  b: 2\n",
    "a: >-\n  c: 1\n\n  c: 1\nb: 1\n",
    "x: [{a: 1}, {a: 2}]\n",
    '{"x": [{"a": "1, \\"b\\": 2"}, {"a": "1, \\"b\\": 2"}]}\n',
  ]) {
    expect(parseYaml(text, "f")).toHaveLength(1);
  }
});

test("damaged files are read or refused, and nothing else", () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  const sample = flannelManifest();
  const marks = ["\t", "{", "}", "[", '"', "'", ":", "- ", "&a ", "*a", "|", "---\n", "\n", "\u0000", "<<: "];
  let read = 0;
  for (let round = 0; round < 60; round++) {
    let text = sample;
    for (let count = 1 + random.below(2); count > 0; count--) {
      const at = random.below(text.length);
      const mark = marks[random.below(marks.length)] ?? "";
      text = text.slice(0, at) + mark + text.slice(at + random.below(2));
    }
    try {
      parseYaml(text, "f");
      read++;
    } catch (error) {
      if (!isCode(error, "invalid")) throw new Error(`TWILL_SEED=${seed} round ${round}`, { cause: error });
      expect(error.object).toMatch(/^f line \d+$/);
    }
  }
  expect(read).toBeLessThan(60);
});

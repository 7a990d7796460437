import { describe, expect, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { JsonError } from "../base/json-error.ts";
import { nearest } from "./nearest.ts";
import {
  anything,
  boolean,
  choice,
  integer,
  list,
  object,
  plain,
  readObject,
  required,
  rootOf,
  text,
  writeObject,
  wrong,
} from "./schema.ts";

const inner = { Size: integer({ min: 1, max: 9, absent: 3 }) };
const schema = {
  Name: required(text({ parse: parseName })),
  Colours: list({ of: choice({ of: ["red", "green"] as const }), max: 2 }),
  Shape: object({ fields: inner, anyCase: true }),
  Open: boolean({ absent: true }),
  Raw: anything(),
  Plain: plain(),
};

function parseName(name: string): string {
  if (name.startsWith("n")) return name.toUpperCase();
  throw new TwillError("invalid", `"${name}" is no name`, { remedy: `write n${name}` });
}
const read = (document: string, options = {}) =>
  readObject(schema, rootOf(parseJson(document, { source: "file" })), options);

function failure(document: string, options = {}): JsonError {
  try {
    read(document, options);
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  throw new Error("accepted");
}

test("values, defaults, and the places they came from", () => {
  const reading = read('{"Name": "nut", "Colours": ["RED"], "Shape": {"size": 9}, "Plain": {"a": [1, null]}}');
  expect(reading.values).toEqual({
    Name: "NUT",
    Colours: ["red"],
    Shape: { Size: 9 },
    Open: true,
    Raw: undefined,
    Plain: { a: [1, null] },
  });
  expect(reading.has("Open")).toBe(false);
  const error = wrong(reading.at("Colours"), "too red", "less");
  expect(error.describe()).toBe(
    [
      "read file line 1, column 28: Colours: too red (less)",
      '{"Name": "nut", "Colours": ["RED"], "Shape": {"size": 9}, "Plain": {"a": [1, null]}}',
      "                           ^^^^^^^",
    ].join("\n"),
  );
});

describe("mistakes name the path", () => {
  for (const [document, path, message, remedy] of [
    ['{"Name": "x"}', "Name", '"x" is no name', "write nx"],
    ['{"Name": null}', "Name", "Name is missing", 'add "Name": text'],
    ["{}", "Name", "Name is missing", 'add "Name": text'],
    [
      '{"Name": "n", "Colours": ["red", "gren"]}',
      "Colours[1]",
      'the text "gren" is not known',
      'did you mean "green"?',
    ],
    ['{"Name": "n", "Colours": ["red", "red", "red"]}', "Colours", "a list of 3", "at most 2"],
    ['{"Name": "n", "Colours": "red"}', "Colours", "is not a list", "[ and ]"],
    ['{"Name": "n", "Shape": {"Size": 0}}', "Shape.Size", "0 is out of range", "use 1 to 9"],
    ['{"Name": "n", "Shape": {"Size": 1.0}}', "Shape.Size", "1.0 is not a whole number", "write 1"],
    ['{"Name": "n", "Shape": {"Size": 1, "SIZE": 2}}', "Shape.Size", "are the same field", "keep one"],
    ['{"Name": "n", "Open": 1}', "Open", "1 is not true or false", "write true or false"],
    ['{"Name": "n", "open": true}', "open", 'unknown field "open" with true', 'did you mean "Open"?'],
    ['{"Name": "n", "\\u0007x\\u001b[31m": 1}', "·x·[31m", 'unknown field "·x·[31m"', "known are Name"],
  ] as const) {
    test(document, () => {
      const error = failure(document);
      expect(error.object).toEndWith(`: ${path}`);
      expect(error.message).toContain(message);
      expect(error.remedy ?? "").toContain(remedy);
    });
  }

  test("what is unknown may be left alone, or explained", () => {
    expect(read('{"Name": "n", "x": 1}', { unknown: "ignore" }).values.Name).toBe("N");
    const explainUnknown = () => new TwillError("unsupported", "later");
    expect(() => read('{"Name": "n", "x": 1}', { explainUnknown })).toThrow("later");
  });
});

test("written in the schema's order, without what is undefined", () => {
  expect(JSON.stringify(writeObject(schema, { Open: false, Name: "n", Raw: undefined }))).toBe(
    '{"Name":"n","Open":false}',
  );
});

test("the nearest word", () => {
  const words = ["vxlan", "host-gw", "alloc", "extension"];
  expect(nearest("VXLAN", words)).toBe("vxlan");
  expect(nearest("hostgw", words)).toBe("host-gw");
  expect(nearest("extention", words)).toBe("extension");
  expect(nearest("wireguard", words)).toBeUndefined();
  expect(nearest("", words)).toBeUndefined();
  expect(nearest("x".repeat(10000), words)).toBeUndefined();
});

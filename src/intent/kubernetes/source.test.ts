import { expect, test } from "bun:test";
import { formatSource, parseSource } from "./source.ts";

test("where a policy was written, as text and back", () => {
  for (const source of [
    { file: "shop.yaml", line: 14, ingress: [18, 22], egress: [30] },
    { file: "standard input", line: 1, ingress: [], egress: [3] },
    { file: "a:1; ingress 2.yaml", line: 7, ingress: [], egress: [] },
  ]) {
    expect(parseSource(formatSource(source))).toEqual(source);
  }
});

test("what somebody else wrote there is no source", () => {
  for (const text of [
    undefined,
    "",
    "shop.yaml",
    "shop.yaml:0",
    "shop.yaml:1e3",
    "a\u0007b:1",
    `${"x".repeat(5000)}:1`,
  ]) {
    expect(parseSource(text)).toBeUndefined();
  }
});

import { expect, test } from "bun:test";
import { withReport } from "./report.ts";

const report = (name: string, value: string) => ({
  name,
  title: `About ${name}`,
  about: "Text.",
  rows: [{ what: "a figure", value }],
  seconds: 7,
});
const names = ["one", "two", "three"];

test("a report takes the place of its benchmark's last one; the others stay; the order is the benchmarks'", () => {
  const first = withReport("", report("two", "2"), "machine A", names);
  const both = withReport(first, report("one", "1"), "machine B", names);
  const renewed = withReport(both, report("two", "22"), "machine C", names);
  expect(renewed.match(/^## .*$/gm)).toEqual(["## About one", "## About two"]);
  expect(renewed).toContain("(7 s). Measured on machine B.");
  expect(renewed).toContain("| a figure |  | 22 |");
  expect(renewed).not.toContain("machine A");
  expect(withReport(renewed, report("two", "22"), "machine C", names)).toBe(renewed);
});

test("a section that is no benchmark's any more goes", () => {
  const page = withReport("", report("two", "2"), "machine", names);
  expect(withReport(page, report("one", "1"), "machine", ["one"])).not.toContain("About two");
});

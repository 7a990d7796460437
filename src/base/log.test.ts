import { expect, test } from "bun:test";
import { FakeClock } from "./clock.ts";
import { TwillError } from "./errors.ts";
import { createLog } from "./log.ts";

const capture = (format: "text" | "json") => {
  const lines: string[] = [];
  const log = createLog({ format, clock: new FakeClock(), write: (line) => lines.push(line) });
  return { lines, log };
};

test("the level changes at run time, for children made before too", () => {
  const { lines, log } = capture("text");
  const child = log.with({ node: "node1" });
  child.debug("hidden");
  log.setLevel("debug");
  child.debug("shown", { count: 2 });
  expect(lines).toEqual(["2026-01-01T00:00:00.000Z DEBUG shown node=node1 count=2"]);
});

test("a line stays a line, whatever a pod is called", () => {
  const { lines, log } = capture("text");
  log.info("added\nforged", { pod: 'a b"\n=x', empty: "" });
  expect(lines).toEqual([String.raw`2026-01-01T00:00:00.000Z INFO  "added\nforged" pod="a b\"\n=x" empty=""`]);
});

test("errors carry their code, causes and remedy", () => {
  const { lines, log } = capture("json");
  const cause = new TwillError("kernel", "Operation not permitted", { operation: "create link", object: "flannel.1" });
  log.error("failed", { error: new TwillError("unavailable", "no tunnel", { cause, remedy: "run as root" }) });
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "2026-01-01T00:00:00.000Z",
    level: "error",
    message: "failed",
    error: "no tunnel (run as root): create link flannel.1: Operation not permitted",
    code: "unavailable",
  });
});

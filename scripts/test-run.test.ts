import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { judge } from "./test-report.ts";
import { runGroups, runTests } from "./test-run.ts";

/** Test files for the Bun that runs this one. */
const files = {
  "good.test.ts": `
    import { test } from "bun:test";
    test("passes", () => {});
    test.skip("is skipped", () => {});
    test.todo("is to be written");`,
  "sub/bad.test.ts": `
    import { describe, expect, test } from "bun:test";
    test("passes too", () => {});
    describe("a group", () => {
      test('fails <with> & "signs"\\nand lines', () => expect("\\u001b[31mred ]]>").toBe(""));
      test("comes too late", async () => { await new Promise(() => {}); }, 50);
    });`,
  "late.test.ts": `
    import { test } from "bun:test";
    test("throws from a timer", async () => { setTimeout(() => { throw new Error("late"); }); await Bun.sleep(30); });`,
  "setup.test.ts": `
    import { beforeAll, test } from "bun:test";
    beforeAll(() => { throw new Error("no"); });
    test("never runs", () => {});`,
  "unloadable.test.ts": `import "./nothing-there.ts";`,
  "empty.test.ts": "",
  "second-time.test.ts": `
    import { existsSync, writeFileSync } from "node:fs";
    import { test } from "bun:test";
    test("works the second time", () => {
      const again = existsSync("mark");
      writeFileSync("mark", "");
      if (!again) throw new Error("the first time");
    });`,
  "dies.test.ts": `
    import { test } from "bun:test";
    test("ends the process", () => process.exit(3));`,
} as const;

async function withFiles(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twill-test-run-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const runIn = (folder: string, names: readonly (keyof typeof files)[], flags: readonly string[] = []) =>
  runTests(names, { folder, flags, environment: {}, output: "ignore" });

test("Bun's own report, by file: passed, failed by name, and what it does not report at all", async () => {
  await withFiles(async (folder) => {
    const names = ["good.test.ts", "sub/bad.test.ts", "late.test.ts", "setup.test.ts", "unloadable.test.ts"] as const;
    expect(Object.fromEntries(await runIn(folder, [...names, "empty.test.ts"]))).toEqual({
      "good.test.ts": { passed: 1, failed: [] },
      "sub/bad.test.ts": {
        passed: 1,
        failed: ['a group > fails <with> & "signs"\nand lines', "a group > comes too late"],
      },
      "late.test.ts": { passed: 0, failed: ["throws from a timer"] },
      "setup.test.ts": { passed: 0, failed: ["(unnamed)"] },
      "unloadable.test.ts": { passed: 0, failed: ["(it did not run to its end)"] },
      "empty.test.ts": { passed: 0, failed: ["(it did not run to its end)"] },
    });
  });
});

test("a run that goes well, and flags for Bun", async () => {
  await withFiles(async (folder) => {
    const names = ["good.test.ts", "sub/bad.test.ts", "empty.test.ts"] as const;
    expect(Object.fromEntries(await runIn(folder, names, ["-t", "passes too"]))).toEqual({
      "good.test.ts": { passed: 0, failed: [] },
      "sub/bad.test.ts": { passed: 1, failed: [] },
      "empty.test.ts": { passed: 0, failed: [] },
    });
  });
});

test("groups run at the same time: one that dies leaves the others' results", async () => {
  await withFiles(async (folder) => {
    const groups = [["good.test.ts"], ["dies.test.ts"], ["sub/bad.test.ts"]];
    const results = await runGroups(groups, { folder, flags: [], environment: {}, output: "ignore" });
    expect([...results].map(([file, { passed, failed }]) => [file, passed, failed.length])).toEqual([
      ["good.test.ts", 1, 0],
      ["dies.test.ts", 0, 1],
      ["sub/bad.test.ts", 1, 2],
    ]);
  });
});

test("when the process dies, every file is to be tried alone", async () => {
  await withFiles(async (folder) => {
    const first = await runIn(folder, ["good.test.ts", "dies.test.ts"]);
    expect([...first.values()].every(({ failed }) => failed.length === 1)).toBe(true);
    const alone = new Map([...(await runIn(folder, ["good.test.ts"])), ...(await runIn(folder, ["dies.test.ts"]))]);
    expect(judge(first, alone)).toEqual({
      passed: 1,
      failed: 1,
      flaky: ["FLAKY: good.test.ts (failed among others, passed alone): (it did not run to its end)"],
    });
  });
});

test("a file that passes alone is called flaky and counts as passed; one that fails again stays failed", async () => {
  await withFiles(async (folder) => {
    const first = await runIn(folder, ["good.test.ts", "sub/bad.test.ts", "second-time.test.ts"]);
    expect(existsSync(join(folder, "mark"))).toBe(true);
    expect(judge(first, new Map())).toEqual({ passed: 2, failed: 3, flaky: [] });
    const alone = new Map([
      ...(await runIn(folder, ["sub/bad.test.ts"])),
      ...(await runIn(folder, ["second-time.test.ts"])),
    ]);
    expect(judge(first, alone)).toEqual({
      passed: 3,
      failed: 2,
      flaky: ["FLAKY: second-time.test.ts (failed among others, passed alone): works the second time"],
    });
  });
});

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/base/log.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import { DecisionFile } from "./decision-file.ts";

test("what numbers mean is known to the next agent of the same boot, and to none of another", () => {
  const folder = mkdtempSync(join(tmpdir(), "twill-decisions-"));
  const path = join(folder, "decisions.json");
  const decision: Decision = { direction: "egress", verdict: "deny", log: false, reason: { by: "no-policy" } };
  try {
    const file = new DecisionFile(path, "boot1", silentLog);
    expect(file.load().size).toBe(0);
    file.changed(() => new Map([[7, decision]]));
    file.flush();
    expect([...new DecisionFile(path, "boot1", silentLog).load()]).toEqual([[7, decision]]);
    expect(new DecisionFile(path, "boot2", silentLog).load().size).toBe(0);
    writeFileSync(path, "{");
    expect(new DecisionFile(path, "boot1", silentLog).load().size).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { agentClock, clockOffsetVariable } from "./agent-clock.ts";

test("the machine's clock, unless a test sets the wall clock; intervals are never touched", () => {
  expect(agentClock({})).toBe(systemClock);
  const folder = mkdtempSync(join(tmpdir(), "twill-clock-"));
  try {
    const file = join(folder, "offset");
    const clock = agentClock({ [clockOffsetVariable]: file });
    const offset = () => Math.round((clock.now() - systemClock.now()) / 60_000) + 0; // no -0
    expect(offset()).toBe(0);
    const monotonic = clock.monotonic();
    writeFileSync(file, String(86_400_000));
    expect(offset()).toBe(24 * 60);
    writeFileSync(file, String(-86_400_000));
    expect(offset()).toBe(-24 * 60);
    writeFileSync(file, "half a day");
    expect(offset()).toBe(0);
    expect(Math.abs(clock.monotonic() - monotonic)).toBeLessThan(60_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

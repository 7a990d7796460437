import { readFileSync } from "node:fs";
import { type Clock, systemClock } from "../../src/base/clock.ts";

/** For tests: a file with the milliseconds by which this agent's wall clock is wrong, read at each look at the clock. */
export const clockOffsetVariable = "TWILL_TEST_CLOCK_OFFSET_FILE";

/**
 * The machine's clock. No namespace gives a node of the lab a wall clock of its own (time_namespaces(7) covers the monotonic
 * clocks only), so a test that lets one node's jump goes this way: through all that the agent decides by the time, and not
 * through what libraries ask by themselves, the validity of certificates above all.
 */
export function agentClock(environment: Readonly<Record<string, string | undefined>>): Clock {
  const path = environment[clockOffsetVariable];
  if (path === undefined) return systemClock;
  return { ...systemClock, now: () => systemClock.now() + offsetIn(path) };
}

function offsetIn(path: string): number {
  try {
    return Number(readFileSync(path, "utf8")) || 0;
  } catch {
    return 0; // nobody has set it
  }
}

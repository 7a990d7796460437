import { readFileSync } from "node:fs";

/** The running kernel since it started. Times of one boot are comparable, those of two are not. */
export interface Boot {
  readonly id: string;
  /** Milliseconds since the kernel started, suspend included (CLOCK_BOOTTIME); setting the wall clock does not move it. */
  now(): number;
}

/**
 * CLOCK_BOOTTIME comes from /proc/uptime (proc_uptime(5), steps of 10 ms), for Bun's own clocks start with the process.
 * The id is the kernel's alone: an agent moved to another time namespace sees a shifted clock, yet its pods live on.
 */
export function systemBoot(): Boot {
  return {
    id: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    now: () => Math.round(Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000),
  };
}

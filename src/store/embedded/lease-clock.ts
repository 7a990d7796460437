import { readFileSync, readlinkSync } from "node:fs";

/**
 * Leases run on a clock of their own, kept in the file: milliseconds during which somebody was running Twill on this
 * machine and looked at a clock that nobody sets. Neither a wall clock that jumps, nor a reboot, nor a laptop that
 * slept, nor a cluster that was stopped for a week can expire a lease whose owner had no chance to renew it; the price
 * is that time while nobody looks does not count, as with etcd, whose new leader gives every lease its time again.
 */
export interface LeaseReading {
  /** Milliseconds of lease time at the last observation. */
  readonly leaseTime: number;
  /** The boot clock then. Readings of different ids cannot be subtracted. */
  readonly bootId: string;
  readonly bootTime: number;
}

export interface BootTime {
  readonly id: string;
  readonly milliseconds: number;
}
export type BootClock = () => BootTime;

/** Observations are written at least this often while anything can expire… */
export const OBSERVATION_INTERVAL = 20_000;
/** …so a longer gap means that nobody was running, and counts as this much. */
export const LONGEST_GAP = 60_000;

export function leaseTimeAt(last: LeaseReading, now: BootTime): number {
  if (last.bootId !== now.id) return last.leaseTime;
  return last.leaseTime + Math.min(Math.max(now.milliseconds - last.bootTime, 0), LONGEST_GAP);
}

/**
 * CLOCK_BOOTTIME by /proc/uptime (10 ms steps), since Bun's own clocks count from the start of the process. The id
 * changes with every boot, and with the time namespace (time_namespaces(7)), which shifts /proc/uptime.
 */
export function systemBootClock(): BootClock {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const id = `${boot} ${timeNamespace()}`;
  return () => ({ id, milliseconds: Math.round(Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000) });
}

function timeNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/time");
  } catch {
    return "time:[none]"; // a kernel before 5.6 has none, so nothing shifts
  }
}

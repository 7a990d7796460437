import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process, told apart from a later one that got the same number. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks after boot (proc_pid_stat(5), field 22). */
  readonly startTime: string;
}

/** undefined: there is no such process, or it is a zombie already. */
export function identify(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command in parentheses may hold blanks and parentheses itself; what follows the last one does not.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const startTime = fields[19];
    return startTime === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : { pid, startTime };
  } catch {
    return undefined;
  }
}

export const isAlive = (process: ProcessId): boolean => identify(process.pid)?.startTime === process.startTime;

/** Its number as the mounted /proc counts: in a new PID namespace that still sees the outer /proc, the outer number. */
export const ownProcess = (): ProcessId | undefined => identify(Number(readlinkSync("/proc/self")));

/** Never a process that took the number over. Whether there was one to kill. */
export function killProcess(target: ProcessId, signal: NodeJS.Signals = "SIGKILL"): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Every process for which `wanted` holds; those that end meanwhile or may not be looked at are left out. */
export function findProcesses(wanted: (folder: string) => boolean): ProcessId[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const found = identify(Number(name));
      if (found === undefined) return [];
      try {
        return wanted(`/proc/${name}`) ? [found] : [];
      } catch {
        return [];
      }
    });
}

/** Waits until none of them lives. Whether that came true in time. */
export async function awaitEnd(processes: readonly ProcessId[], milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (processes.some(isAlive)) {
    if (performance.now() > deadline) return false;
    await Bun.sleep(5);
  }
  return true;
}

import { readdirSync, readFileSync } from "node:fs";
import { reap } from "../src/kernel/reap.ts";

/** Children that Bun waits for itself: whoever waits in its place makes it fail with ECHILD. */
const spawned = new Set<number>();

/** To be called with each child that this process starts. */
export function ownChild<T extends Bun.Subprocess>(child: T): T {
  spawned.add(child.pid);
  void child.exited.finally(() => spawned.delete(child.pid));
  return child;
}

/**
 * The first process of a PID namespace inherits the orphans of all others (containerd's shims, containers after a power
 * cut), which stay zombies until it waits for them. A zombie that is no child of our own, and is still there a second
 * later (spawnSync's would not be), is an orphan.
 */
export function reapOrphans(): void {
  let seen = new Set<number>();
  const timer = setInterval(() => {
    const zombies = ownZombies();
    for (const pid of zombies) if (seen.has(pid) && !spawned.has(pid)) reap(pid);
    seen = new Set(zombies);
  }, 1000);
  timer.unref();
}

function ownZombies(): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state === "Z" && Number(parent) === process.pid ? [Number(name)] : [];
    } catch {
      return []; // reaped since
    }
  });
}

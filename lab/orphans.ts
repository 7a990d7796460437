import { readdirSync, readFileSync } from "node:fs";
import { reap } from "../src/kernel/reap.ts";

/**
 * The first process of a PID namespace inherits the orphans of all others (containerd's shims, containers after a power
 * cut), which stay zombies until it waits for them. Bun waits for children of its own as soon as they end; a zombie that
 * is still there a second later is an orphan.
 */
export function reapOrphans(): void {
  let seen = new Set<number>();
  const timer = setInterval(() => {
    const zombies = ownZombies();
    for (const pid of zombies) if (seen.has(pid)) reap(pid);
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

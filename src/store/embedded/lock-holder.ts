import { readFileSync, statSync } from "node:fs";

/**
 * Bytes that SQLite locks. In WAL mode the one writer holds byte 120 of the -shm file (wal.c: WAL_WRITE_LOCK), a
 * recovering one 121 and 122; a process in exclusive locking mode holds PENDING_BYTE and what follows in the database.
 */
const shmLocks = { first: 120, last: 122 };
const fileLocks = { first: 0x40000000, last: 0x40000000 + 512 };

/** Who keeps others from writing: "process 4711 (sqlite3 /var/lib/twill/network.db)". Undefined when nobody can be seen. */
export function lockHolder(path: string): string | undefined {
  for (const [file, range] of [
    [`${path}-shm`, shmLocks],
    [path, fileLocks],
  ] as const) {
    const inode = statSync(file, { throwIfNoEntry: false })?.ino;
    const pid = inode === undefined ? undefined : writerOf(inode, range.first, range.last);
    if (pid !== undefined) return `process ${pid}${commandOf(pid)}`;
  }
  return undefined;
}

/**
 * /proc/locks (proc(5)): "1: POSIX  ADVISORY  WRITE 4711 fe:00:9977912 120 120". Only the inode is compared: the device
 * number there is that of the lower file system, which stat(2) does not report for overlayfs and btrfs.
 */
function writerOf(inode: number, first: number, last: number): number | undefined {
  for (const line of read("/proc/locks").split("\n")) {
    const match = /^\d+: +(?:POSIX|OFDLCK) +\S+ +WRITE +(-?\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) +(\d+) +(\d+|EOF)/.exec(
      line,
    );
    if (match === null || Number(match[2]) !== inode) continue;
    const from = Number(match[3]);
    const to = match[4] === "EOF" ? Number.POSITIVE_INFINITY : Number(match[4]);
    // 0 and -1 stand for a process in a namespace that we cannot see into, and for an open file description lock.
    if (from <= last && to >= first && Number(match[1]) > 0) return Number(match[1]);
  }
  return undefined;
}

function commandOf(pid: number): string {
  const words = read(`/proc/${pid}/cmdline`)
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return words === "" ? "" : ` (${words.slice(0, 120)})`;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process is gone, or /proc is hidden: the text is only less precise
  }
}

import { TwillError } from "../base/errors.ts";
import { EAGAIN, ENOENT, errnoError } from "./errno.ts";
import { closeFile, identityOf, O_CREAT, O_RDWR, openFile } from "./file.ts";
import { cString, libc, trySystemCall } from "./libc.ts";

/** include/uapi/asm-generic/fcntl.h, flock(2) */
const LOCK_EX = 2;
const LOCK_NB = 4;

export interface FileLock {
  /** Removes the file and lets go of the lock. */
  release(): void;
}

/**
 * Takes a lock that the kernel gives up when the process dies, however it dies. @returns undefined when another process has it.
 * @throws TwillError.
 */
export function tryLock(path: string): FileLock | undefined {
  for (;;) {
    const fd = openFile(path, O_RDWR | O_CREAT, 0o600, { operation: "lock" });
    const result = trySystemCall("flock", () => libc.flock(fd, LOCK_EX | LOCK_NB));
    if (result < 0) {
      closeFile(fd);
      if (result === -EAGAIN) return undefined;
      throw errnoError(-result, { operation: "lock", object: path });
    }
    // The one before us removes its file before it lets go, so what we have locked may have no name any more.
    if (isAt(fd, path)) return { release: () => release(fd, path) };
    closeFile(fd);
  }
}

function isAt(fd: number, path: string): boolean {
  let other: number;
  try {
    other = openFile(path, O_RDWR);
  } catch (error) {
    if (error instanceof TwillError && error.errno === ENOENT) return false;
    throw error;
  }
  const [a, b] = [identityOf(fd), identityOf(other)];
  closeFile(other);
  return a.device === b.device && a.inode === b.inode;
}

function release(fd: number, path: string): void {
  const name = cString(path);
  trySystemCall("unlink", () => libc.unlink(name));
  closeFile(fd);
}

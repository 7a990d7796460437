import { cString, libc, systemCall } from "./libc.ts";

/**
 * From now on "/" is this directory, for the whole process and what it starts (chroot(2), CAP_SYS_CHROOT), and it is the
 * working directory too: a directory outside the root would be a way back out. @throws TwillError.
 */
export function enterRoot(path: string): void {
  const name = cString(path);
  systemCall("chroot", () => libc.chroot(name), { operation: "make root of", object: path });
  process.chdir("/");
}

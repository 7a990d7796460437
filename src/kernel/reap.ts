import { libc, trySystemCall } from "./libc.ts";

/** include/uapi/linux/wait.h */
const WNOHANG = 1;

/** Takes note of the end of one child of this process (waitpid(2)). Nothing happens when it lives or is somebody else's. */
export function reap(pid: number): void {
  trySystemCall("waitpid", () => libc.waitpid(pid, null, WNOHANG));
}

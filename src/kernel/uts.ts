import { closeFile, O_RDONLY, openFile } from "./file.ts";
import { cString, libc, systemCall } from "./libc.ts";

/** UTS namespaces: a host name of one's own. As with netns.ts, synchronous and on the calling thread alone. */

/** include/uapi/linux/sched.h */
const CLONE_NEWUTS = 0x04000000;

const ownUts = (): number => openFile("/proc/thread-self/ns/uts", O_RDONLY);

/** A new namespace with this host name, alive until the descriptor is closed and nobody is in it. The caller closes it. */
export function createUts(hostName: string): number {
  const home = ownUts();
  try {
    systemCall("unshare", () => libc.unshare(CLONE_NEWUTS), { operation: "create UTS namespace" });
    try {
      const name = cString(hostName);
      systemCall("sethostname", () => libc.sethostname(name, name.length - 1), { object: hostName });
      return ownUts();
    } finally {
      systemCall("setns", () => libc.setns(home, CLONE_NEWUTS), { operation: "leave UTS namespace" });
    }
  } finally {
    closeFile(home);
  }
}

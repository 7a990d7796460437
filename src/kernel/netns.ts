import { TwillError } from "../base/errors.ts";
import { EINVAL, ENOENT, errnoError } from "./errno.ts";
import { closeFile, filesystemOf, identityOf, O_CREAT, O_EXCL, O_RDONLY, openFile } from "./file.ts";
import { cString, libc, systemCall, trySystemCall } from "./libc.ts";

/**
 * Network namespaces, by open file descriptor. A namespace lives as long as a process, a bind mount or a descriptor
 * shows it.
 *
 * setns and unshare change the calling thread only. All of ours runs on the main thread in synchronous stretches: no
 * `await` between entering and leaving, for the event loop would run somebody else's code in the wrong namespace. Bun's
 * other threads (garbage collector, HTTP client, the poller) stay in the process's first namespace throughout.
 */

/** include/uapi/linux/sched.h */
export const CLONE_NEWNET = 0x40000000;
/** include/uapi/linux/magic.h */
const NSFS_MAGIC = 0x6e736673;
/** include/uapi/linux/nsfs.h: _IO(0xb7, 0x3) */
const NS_GET_NSTYPE = 0xb703;
/** include/uapi/linux/mount.h */
const MS_BIND = 4096;
const MNT_DETACH = 2;

/** The namespace of the calling thread, not of the process: the two differ inside `inNetns`. */
const ownPath = "/proc/thread-self/ns/net";

/** A descriptor of the namespace that this thread is in. The caller closes it. */
export const currentNetns = (): number => openFile(ownPath, O_RDONLY);

/**
 * The caller closes the descriptor. @throws TwillError `not-found`; `invalid` when the path is something else than a network
 * namespace: setns would otherwise refuse it only later, or enter a namespace of another type.
 */
export function openNetns(path: string): number {
  const fd = openFile(path, O_RDONLY, 0, { operation: "open network namespace" });
  try {
    requireNetns(fd, path);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  return fd;
}

/** @throws TwillError `invalid` when the descriptor, e.g. one that a peer sent, does not show a network namespace. */
export function requireNetns(fd: number, object = `fd ${fd}`): void {
  const isNetns =
    filesystemOf(fd) === NSFS_MAGIC && trySystemCall("ioctl", () => libc.ioctl(fd, NS_GET_NSTYPE, 0)) === CLONE_NEWNET;
  if (!isNetns)
    throw new TwillError("invalid", "this is not a network namespace", {
      operation: "open network namespace",
      object,
      remedy: "name a file such as /run/netns/NAME or /proc/PID/ns/net",
    });
}

/** A number that tells namespaces of one machine apart while they live; `ip netns identify` and `ls -i` show it. */
export const netnsInode = (fd: number): bigint => identityOf(fd).inode;

/**
 * Runs `work` with this thread inside the namespace, then comes home, whatever happens. `work` must be synchronous.
 *
 * When the way home is barred (setns fails: no errno in the kernel's list can make it fail with a descriptor opened
 * beforehand and unchanged privileges, short of ENOMEM) the process aborts: a thread that stays in a pod's namespace would
 * from then on program the pod instead of the node, silently. The agent is restarted by its supervisor, the kernel's
 * state stays as it is, and no traffic is disturbed.
 */
export function inNetns<T>(fd: number, work: () => T): T {
  const home = currentNetns();
  try {
    systemCall("setns", () => libc.setns(fd, CLONE_NEWNET), { operation: "enter network namespace" });
    try {
      const result = work();
      if (result instanceof Promise)
        throw new TwillError("internal", "asynchronous work would run in the wrong network namespace");
      return result;
    } finally {
      returnTo(home);
    }
  } finally {
    closeFile(home);
  }
}

function returnTo(home: number): void {
  const result = trySystemCall("setns", () => libc.setns(home, CLONE_NEWNET));
  if (result === 0) return;
  console.error(`twill: cannot leave a network namespace (errno ${-result}), aborting`);
  process.abort();
}

/** A new, empty namespace that lives until the descriptor is closed (and nothing else shows it). `lo` in it is down. */
export function createNetns(): number {
  const home = currentNetns();
  try {
    systemCall("unshare", () => libc.unshare(CLONE_NEWNET), { operation: "create network namespace" });
    try {
      return currentNetns();
    } finally {
      returnTo(home);
    }
  } finally {
    closeFile(home);
  }
}

/**
 * A new namespace that is also bound to `path`, as `ip netns add` does, so that it outlives this process. The directory
 * must exist. The caller closes the descriptor, and removes the binding with removeNetns.
 */
export function createNetnsAt(path: string): number {
  const fd = createNetns();
  try {
    bindNetns(fd, path);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  return fd;
}

/** @throws TwillError `exists` when there is a file of that name already. */
export function bindNetns(fd: number, path: string): void {
  closeFile(openFile(path, O_RDONLY | O_CREAT | O_EXCL, 0o444, { operation: "bind network namespace" }));
  const source = cString(`/proc/self/fd/${fd}`);
  const target = cString(path);
  const result = trySystemCall("mount", () => libc.mount(source, target, cString("none"), MS_BIND, null));
  if (result === 0) return;
  trySystemCall("unlink", () => libc.unlink(target));
  throw errnoError(-result, { operation: "bind network namespace", object: path });
}

/** Takes the binding away; the namespace dies with its last user. Nothing happens when there is none. */
export function removeNetns(path: string): void {
  const target = cString(path);
  // EINVAL: a plain file, not a mount point (a crash between creating the file and mounting).
  const unmounted = trySystemCall("umount2", () => libc.umount2(target, MNT_DETACH));
  if (unmounted < 0 && unmounted !== -EINVAL && unmounted !== -ENOENT)
    throw errnoError(-unmounted, { operation: "remove network namespace", object: path });
  const removed = trySystemCall("unlink", () => libc.unlink(target));
  if (removed < 0 && removed !== -ENOENT)
    throw errnoError(-removed, { operation: "remove network namespace", object: path });
}

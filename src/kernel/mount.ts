import { errnoError } from "./errno.ts";
import { cString, libc, trySystemCall } from "./libc.ts";

/** include/uapi/linux/mount.h */
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

/** mount(2) in the mount namespace of the calling process. Flags from include/uapi/linux/mount.h. @throws TwillError. */
function mount(source: string, target: string, type: string, flags: number, data: string | undefined): void {
  const names = [cString(source), cString(target), cString(type)] as const;
  const options = data === undefined ? null : cString(data);
  const result = trySystemCall("mount", () => libc.mount(names[0], names[1], names[2], flags, options));
  if (result < 0)
    throw errnoError(-result, { operation: `mount ${type === "none" ? source : type} on`, object: target });
}

/**
 * Shows `source`, a directory or a file, at `target` too, with everything mounted below it: a user namespace may not
 * separate mounts that it got locked together (mount_namespaces(7)). Symbolic links are followed, /proc/self/fd too.
 */
export const bindMount = (source: string, target: string): void =>
  mount(source, target, "none", MS_BIND | MS_REC, undefined);

/** What is mounted below `target` from now on shows in copies of this mount namespace too, and the other way round. */
export const shareMount = (target: string): void => mount("none", target, "none", MS_SHARED, undefined);

/** The same for everything mounted at `target` and below: what systemd does with "/" at boot. */
export const shareAllMounts = (target: string): void => mount("none", target, "none", MS_SHARED | MS_REC, undefined);

export const mountTmpfs = (target: string, options = "mode=755"): void =>
  mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options);

/** The processes of the caller's PID namespace. @throws TwillError with EPERM where an outer container masks parts of /proc. */
export const mountProc = (target: string): void =>
  mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, undefined);

/** The devices of the caller's network namespace. */
export const mountSysfs = (target: string): void =>
  mount("sysfs", target, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, undefined);

/** At once for new users, and for good when the last one leaves (MNT_DETACH), with everything mounted below. */
export function unmount(target: string): void {
  const name = cString(target);
  const result = trySystemCall("umount2", () => libc.umount2(name, MNT_DETACH));
  if (result < 0) throw errnoError(-result, { operation: "unmount", object: target });
}

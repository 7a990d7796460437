import { TwillError } from "../base/errors.ts";
import { EINVAL, ENOENT, errnoError } from "./errno.ts";
import { closeFile, O_RDONLY, O_WRONLY, openFile, tryRead, tryWrite } from "./file.ts";
import { inNetns } from "./netns.ts";

/**
 * Network sysctls of one namespace. A name is its path below /proc/sys/net: ["ipv4", "conf", "eth0.100", "rp_filter"]. An
 * array, because device names may hold dots, which makes "net.ipv4.conf.eth0.100.rp_filter" ambiguous.
 */
export interface Sysctls {
  /** Without the line's end. @throws TwillError `not-found` when the kernel has no such variable or device. */
  read(name: SysctlName): string;
  /** undefined instead of `not-found`. */
  tryRead(name: SysctlName): string | undefined;
  /** @throws TwillError `not-found`, `invalid` (the kernel does not take the value), `denied` (read-only /proc/sys). */
  write(name: SysctlName, value: string): void;
}

export type SysctlName = readonly string[];

/** Where the kernel shows the settings of the namespace that opens them. */
export const procSysNet = "/proc/sys/net";

/** "net.ipv4.conf.eth0/100.rp_filter": dots and slashes change places, as sysctl(8) writes it. */
export const formatSysctl = (name: SysctlName): string =>
  ["net", ...name].map((part) => part.replaceAll(".", "/")).join(".");

/**
 * @throws TwillError `invalid` for a part that would lead to another file: device names reach this from outside.
 */
export function checkSysctl(name: SysctlName): void {
  const valid = name.length > 0 && name.every((part) => /^[^/\0]{1,255}$/.test(part) && part !== "." && part !== "..");
  if (!valid) throw new TwillError("invalid", `${JSON.stringify(name)} cannot be the name of a sysctl`);
}

/**
 * /proc/sys/net shows the namespace of the thread that opens a file in it, so the thread enters, opens, reads or writes, and
 * comes home, synchronously. Nothing is remembered: anybody may change a sysctl at any time.
 * @param netns descriptor; undefined is the thread's own namespace.
 * @param folder the same directory of procfs mounted elsewhere: container runtimes make a container's own /proc/sys read-only.
 */
export function kernelSysctls(netns?: number, folder = procSysNet): Sysctls {
  const pathOf = (name: SysctlName): string => `${folder}/${name.join("/")}`;
  const within = <T>(work: () => T): T => (netns === undefined ? work() : inNetns(netns, work));
  const tryReadValue = (name: SysctlName): string | undefined => {
    checkSysctl(name);
    return within(() => readFile(name, pathOf(name)));
  };
  return {
    tryRead: tryReadValue,
    read: (name) => {
      const value = tryReadValue(name);
      if (value === undefined) throw errnoError(ENOENT, { operation: "read sysctl", object: formatSysctl(name) });
      return value;
    },
    write: (name, value) => {
      checkSysctl(name);
      within(() => writeFile(name, pathOf(name), value));
    },
  };
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function readFile(name: SysctlName, path: string): string | undefined {
  const details = { operation: "read sysctl", object: formatSysctl(name) };
  let fd: number;
  try {
    fd = openFile(path, O_RDONLY, 0, details);
  } catch (error) {
    if (error instanceof TwillError && error.errno === ENOENT) return undefined;
    throw error;
  }
  try {
    const buffer = new Uint8Array(4096);
    const length = tryRead(fd, buffer);
    if (length < 0) throw errnoError(-length, details);
    return decoder.decode(buffer.subarray(0, length)).trimEnd();
  } finally {
    closeFile(fd);
  }
}

function writeFile(name: SysctlName, path: string, value: string): void {
  const details = { operation: "write sysctl", object: `${formatSysctl(name)} = ${value}` };
  const fd = openFile(path, O_WRONLY, 0, details);
  try {
    // One write: procfs takes no value in pieces.
    const result = tryWrite(fd, encoder.encode(value));
    if (result === -EINVAL) throw new TwillError("invalid", "the kernel does not take this value", details);
    if (result < 0) throw errnoError(-result, details);
  } finally {
    closeFile(fd);
  }
}

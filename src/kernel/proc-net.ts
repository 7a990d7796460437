import { TwillError } from "../base/errors.ts";
import { ENOENT } from "./errno.ts";
import { closeFile, O_RDONLY, openFile, tryRead } from "./file.ts";
import { inNetns } from "./netns.ts";

/**
 * /proc/net/<name> of a network namespace (descriptor; undefined: the calling thread's); undefined where there is no such
 * file. /proc/net itself is a link to the process's namespace; the thread's is another while it is inside `inNetns`.
 */
export function readProcNet(netns: number | undefined, name: string): string | undefined {
  if (!/^[a-z0-9_/]+$/.test(name)) throw new TwillError("invalid", `${JSON.stringify(name)} is no file of /proc/net`);
  const read = () => readWhole(`/proc/thread-self/net/${name}`);
  return netns === undefined ? read() : inNetns(netns, read);
}

function readWhole(path: string): string | undefined {
  let fd: number;
  try {
    fd = openFile(path, O_RDONLY);
  } catch (error) {
    if (error instanceof TwillError && error.errno === ENOENT) return undefined;
    throw error;
  }
  try {
    const chunks: Uint8Array[] = [];
    const buffer = new Uint8Array(64 * 1024);
    for (let length = tryRead(fd, buffer); length > 0; length = tryRead(fd, buffer))
      chunks.push(buffer.slice(0, length));
    return new TextDecoder().decode(Buffer.concat(chunks));
  } finally {
    closeFile(fd);
  }
}

/**
 * TCP and UDP segments of both families that were thrown away for a wrong checksum, since the namespace was made: InCsumErrors
 * of /proc/net/snmp and snmp6 (RFC 4022, RFC 4113 know no such counter; net/ipv4/proc.c does).
 */
export function checksumErrors(netns: number | undefined): number {
  let sum = 0;
  const lines = (readProcNet(netns, "snmp") ?? "").split("\n");
  for (const [index, line] of lines.entries()) {
    const [name, ...columns] = line.split(" ");
    if (name !== "Tcp:" && name !== "Udp:") continue;
    const values = lines[index + 1]?.split(" ") ?? [];
    if (values[0] !== name) continue;
    sum += Number(values[columns.indexOf("InCsumErrors") + 1] ?? 0) || 0;
  }
  for (const match of (readProcNet(netns, "snmp6") ?? "").matchAll(/^Udp6InCsumErrors\s+(\d+)$/gm))
    sum += Number(match[1]);
  return sum;
}

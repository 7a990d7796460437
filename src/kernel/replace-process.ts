import { ptr } from "bun:ffi";
import { TwillError } from "../base/errors.ts";
import { cString, libc, systemCall } from "./libc.ts";

/** Strings of which only the address stands in a pointer list: held until the program is replaced. */
const held = new Set<Uint8Array>();

/**
 * Becomes another program (execve): same process id, terminal, and namespaces of the calling thread; all other threads
 * end, and descriptors marked close-on-exec (all of ours) are closed. Does not return.
 * @param path of the executable; no search along PATH.
 * @param args with the program's name first.
 * @throws TwillError when the kernel refuses; then nothing has changed.
 */
export function replaceProcess(
  path: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): never {
  const name = cString(path);
  const argv = pointerList(args);
  const envp = pointerList(Object.entries(environment).map(([key, value]) => `${key}=${value}`));
  try {
    systemCall("execve", () => libc.execve(name, argv, envp), { operation: "start", object: path });
  } finally {
    held.clear();
  }
  throw new TwillError("internal", "execve returned");
}

/** A NULL-terminated array of `char *`. */
function pointerList(texts: readonly string[]): BigUint64Array {
  const list = new BigUint64Array(texts.length + 1);
  texts.forEach((text, index) => {
    const string = cString(text);
    held.add(string);
    list[index] = BigInt(ptr(string));
  });
  return list;
}

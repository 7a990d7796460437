import { TwillError } from "../base/errors.ts";

export interface TarEntry {
  /** Relative, with slashes; at most 100 bytes. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const blockSize = 512;

/**
 * A tar archive (POSIX.1-1988 ustar): plain files of root, mode 0600, all of one time. @param time seconds since 1970.
 * @throws TwillError `invalid` for a name that does not fit or leads out of the archive.
 */
export function encodeTar(entries: readonly TarEntry[], time: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { name, bytes } of entries) {
    parts.push(header(name, bytes.length, time), bytes);
    parts.push(new Uint8Array((blockSize - (bytes.length % blockSize)) % blockSize));
  }
  // Two empty blocks end it.
  parts.push(new Uint8Array(blockSize * 2));
  return new Uint8Array(Buffer.concat(parts));
}

function header(name: string, size: number, time: number): Uint8Array {
  const encoder = new TextEncoder();
  const named = encoder.encode(name);
  if (named.length > 100 || name.startsWith("/") || name.split("/").includes("..")) {
    throw new TwillError("invalid", `"${name}" cannot be a name in an archive`);
  }
  const block = new Uint8Array(blockSize);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  block.set(named);
  put(100, octal(0o600, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(Math.floor(time), 11));
  // The checksum is of the header with spaces in its own place.
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\0" + "00");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

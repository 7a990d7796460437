import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { TwillError } from "../../src/base/errors.ts";
import { type ElfDependencies, readElf } from "../../src/wire/elf.ts";

/**
 * Only what matters is read, whatever the file's size.
 * @returns undefined when there is no such file.
 * @throws TwillError `corrupt` when it is not an ELF file, `io`.
 */
export function readElfFile(path: string): ElfDependencies | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new TwillError("io", code ?? String(error), { operation: "read", object: path });
  }
  try {
    return readElf({
      size: fstatSync(file).size,
      read: (offset, length) => {
        const bytes = new Uint8Array(length);
        if (length > 0 && readSync(file, bytes, 0, length, offset) !== length) {
          throw new TwillError("corrupt", "the file ends early", { operation: "read", object: path });
        }
        return bytes;
      },
    });
  } catch (error) {
    if (!(error instanceof TwillError) || error.object !== undefined) throw error;
    throw new TwillError(error.code, error.message, { operation: "read", object: path });
  } finally {
    closeSync(file);
  }
}

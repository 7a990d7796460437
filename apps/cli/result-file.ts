import { renameSync, rmSync, writeFileSync } from "node:fs";
import { TwillError } from "../../src/base/errors.ts";

/** A file for root alone, whole or not at all; "-": standard output (from a container that can write no file). @throws TwillError `io`. */
export async function writeResult(path: string, bytes: Uint8Array): Promise<void> {
  if (path === "-") {
    await Bun.write(Bun.stdout, bytes);
    return;
  }
  const fresh = `${path}.new`;
  try {
    rmSync(fresh, { force: true });
    // "wx": never through a link that somebody else has put there.
    writeFileSync(fresh, bytes, { mode: 0o600, flag: "wx" });
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new TwillError("io", code, {
      operation: "write",
      object: path,
      remedy: "name a file in a folder where there is room and that can be written",
    });
  }
}

import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";

export const pluginName = "twill-cni";
const pieceSize = 1 << 20;

/**
 * Puts the plugin into the folder, whole or not at all, and only when it is not there already: the new file lies beside the
 * old one, has run once, and then takes its name. Calls of the old one that are under way end undisturbed.
 * @param source open descriptor of the executable.
 * @returns whether anything changed.
 * @throws TwillError `unsupported` when the copy does not run here, `io`.
 */
export function installPlugin(source: number, folder: string): boolean {
  const path = join(folder, pluginName);
  // A name without a known ending and with a dot first: no runtime takes it for a plugin. Fixed, so that what a killed
  // installer left is taken away by the next.
  const fresh = join(folder, `.${pluginName}.new`);
  try {
    rmSync(fresh, { force: true });
    if (isSame(source, path)) return false;
    copy(source, fresh);
    tryOut(fresh);
    renameSync(fresh, path);
    syncFolder(folder);
    return true;
  } catch (error) {
    rmSync(fresh, { force: true });
    if (error instanceof TwillError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new TwillError("io", code, {
      operation: "install",
      object: path,
      remedy: code === "ENOSPC" ? "free some space: the plugin has over 100 MB" : `${folder} must be writable for root`,
    });
  }
}

function isSame(source: number, path: string): boolean {
  if (!existsSync(path)) return false;
  const file = openSync(path, "r");
  try {
    const [wanted, there] = [fstatSync(source), fstatSync(file)];
    if (wanted.size !== there.size || (there.mode & 0o7777) !== 0o755) return false;
    const [a, b] = [new Uint8Array(pieceSize), new Uint8Array(pieceSize)];
    for (let at = 0; at < wanted.size; at += pieceSize) {
      const length = readSync(source, a, 0, pieceSize, at);
      if (readSync(file, b, 0, pieceSize, at) !== length) return false;
      if (Buffer.compare(a.subarray(0, length), b.subarray(0, length)) !== 0) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}

function copy(source: number, path: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    const piece = new Uint8Array(pieceSize);
    for (let at = 0; ; ) {
      const length = readSync(source, piece, 0, pieceSize, at);
      if (length === 0) break;
      for (let done = 0; done < length; ) done += writeSync(file, piece, done, length - done, at + done);
      at += length;
    }
    fchmodSync(file, 0o755);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The last word on whether it runs here has the host's own loader; the file system may be mounted noexec, too. */
function tryOut(path: string): void {
  const refused = (why: string) =>
    new TwillError("unsupported", `the plugin does not run on this host: ${why}`, {
      operation: "install",
      object: path,
      remedy: "run it there by hand to see more; its file system must not be mounted noexec",
    });
  let result: Bun.SyncSubprocess<"pipe", "pipe">;
  try {
    result = Bun.spawnSync([path], {
      argv0: pluginName,
      env: { CNI_COMMAND: "VERSION" },
      stdin: new TextEncoder().encode('{"cniVersion":"1.1.0"}'),
      stdout: "pipe",
      stderr: "pipe",
      timeout: 30_000,
    });
  } catch (error) {
    throw refused((error as NodeJS.ErrnoException).code ?? String(error));
  }
  const said = result.stdout.toString();
  if (result.exitCode === 0 && said.includes("supportedVersions")) return;
  throw refused((result.stderr.toString() + said).trim().slice(0, 500) || `exit status ${result.exitCode}`);
}

function syncFolder(folder: string): void {
  const file = openSync(folder, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

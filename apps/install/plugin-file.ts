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
import { programName } from "../cni/launcher/contract.ts";
import { launcherFile } from "../cni/launcher/launcher.ts";

export const pluginName = "twill-cni";
const pieceSize = 1 << 20;

export interface InstalledFile {
  readonly path: string;
  readonly changed: boolean;
}

/** What a file shall hold. */
interface Content {
  readonly size: number;
  /** As many bytes as there are, up to `buffer.length`. */
  read(buffer: Uint8Array, at: number): number;
}

/**
 * Puts the executable and then the launcher, which starts it, into the folder: in this order, so that whatever is there under the
 * plugin's name finds what it needs at every moment. Each file whole or not at all, and only when it is not there already: the new
 * one lies beside the old one, has run once, and then takes its name. Calls that are under way end undisturbed.
 * @param executable open descriptor of it.
 * @throws TwillError `unsupported` when one of them does not run here, `io`.
 */
export function installPlugin(executable: number, folder: string): readonly InstalledFile[] {
  const program: Content = {
    size: fstatSync(executable).size,
    read: (buffer, at) => readSync(executable, buffer, 0, buffer.length, at),
  };
  return [install(program, folder, programName), install(inMemory(launcherFile()), folder, pluginName)];
}

/** Paths of what installPlugin puts there. */
export const pluginPaths = (folder: string): readonly string[] =>
  [programName, pluginName].map((name) => join(folder, name));

const inMemory = (bytes: Uint8Array): Content => ({
  size: bytes.length,
  read: (buffer, at) => {
    const piece = bytes.subarray(at, at + buffer.length);
    buffer.set(piece);
    return piece.length;
  },
});

function install(content: Content, folder: string, name: string): InstalledFile {
  const path = join(folder, name);
  // A name without a known ending and with a dot first: no runtime takes it for a plugin. Fixed, so that what a killed
  // installer left is taken away by the next.
  const fresh = join(folder, `.${name}.new`);
  try {
    rmSync(fresh, { force: true });
    if (isSame(content, path)) return { path, changed: false };
    copy(content, fresh);
    tryOut(fresh);
    renameSync(fresh, path);
    syncFolder(folder);
    return { path, changed: true };
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

function isSame(content: Content, path: string): boolean {
  if (!existsSync(path)) return false;
  const file = openSync(path, "r");
  try {
    const there = fstatSync(file);
    if (content.size !== there.size || (there.mode & 0o7777) !== 0o755) return false;
    const [a, b] = [new Uint8Array(pieceSize), new Uint8Array(pieceSize)];
    for (let at = 0; at < content.size; at += pieceSize) {
      const length = content.read(a, at);
      if (readSync(file, b, 0, pieceSize, at) !== length) return false;
      if (Buffer.compare(a.subarray(0, length), b.subarray(0, length)) !== 0) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}

function copy(content: Content, path: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    const piece = new Uint8Array(pieceSize);
    for (let at = 0; ; ) {
      const length = content.read(piece, at);
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

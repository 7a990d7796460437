import { lstatSync, mkdirSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import { closeFile, O_RDONLY, openFile } from "../src/kernel/file.ts";
import { bindMount, mountTmpfs } from "../src/kernel/mount.ts";

/**
 * Makes a directory to mount on, without writing to the host's disk: where it is missing, its nearest existing ancestor
 * is covered by a tmpfs that shows the same entries. Only for a process in a mount namespace of its own.
 */
export function ensureMountPoint(path: string): void {
  if (isDirectory(path)) return;
  let ancestor = dirname(path);
  while (!isDirectory(ancestor)) ancestor = dirname(ancestor);
  if (ancestor === "/")
    throw new TwillError("unsupported", "it is missing, and so are the directories above it", {
      operation: "prepare node",
      object: path,
      remedy: `make the directory /${path.split("/")[1]}`,
    });
  cover(ancestor);
  mkdirSync(path, { recursive: true });
}

/** The entries stay what they are on the host, writable where they were; new ones go to the tmpfs. */
function cover(directory: string): void {
  // A descriptor opened before still shows what the tmpfs hides.
  const fd = openFile(directory, O_RDONLY);
  const hidden = `/proc/self/fd/${fd}`;
  try {
    mountTmpfs(directory);
    for (const name of readdirSync(hidden)) {
      const [from, to] = [join(hidden, name), join(directory, name)];
      const entry = lstatSync(from);
      if (entry.isSymbolicLink()) {
        symlinkSync(readlinkSync(from), to);
        continue;
      }
      if (entry.isDirectory()) mkdirSync(to);
      else writeFileSync(to, "");
      bindMount(from, to);
    }
  } finally {
    closeFile(fd);
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

import { renameSync } from "node:fs";
import { join } from "node:path";
import { describeError, TwillError } from "../src/base/errors.ts";
import { mountProc } from "../src/kernel/mount.ts";
import type { LabApi } from "./api.ts";
import { serveControl } from "./control.ts";
import { readRecord, writeRecord } from "./directory.ts";
import { ensureMountPoint } from "./host-skeleton.ts";
import { Lab } from "./lab.ts";
import { linkPlugins, mountPoints } from "./node-disk.ts";
import { reapOrphans } from "./orphans.ts";
import { ownProcess } from "./process.ts";
import { findPrograms, requireProgram } from "./programs.ts";

/** What the creator writes into the lifeline once the lab shall stay without it. */
export const keep = "keep\n";

export const controlSocket = (directory: string): string => join(directory, "lab.sock");

/**
 * `twill lab init DIRECTORY`: the lab's first process, started by enclosure.ts in new namespaces. All of the lab is in
 * its PID namespace, so that its end, however it comes, is the end of the lab. Its input is a lifeline: until the
 * creator has written `keep`, the creator's end is the lab's end too, so ctrl-C and kill -9 leave nothing.
 */
export async function labInit(directory: string): Promise<void> {
  void followLifeline();
  try {
    recordSelf(directory);
    makeRoom(directory);
    reapOrphans();
    const lab = new Lab(directory, findPrograms());
    // Under its name only when it listens: between bind(2) and listen(2) a caller would be refused.
    const socket = controlSocket(directory);
    serveControl<LabApi>(`${socket}.new`, lab.methods);
    renameSync(`${socket}.new`, socket);
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    process.exit(1); // else the lifeline would hold us
  }
  await new Promise(() => {}); // until killed
}

async function followLifeline(): Promise<void> {
  let said = "";
  const decoder = new TextDecoder();
  for await (const chunk of Bun.stdin.stream()) said += decoder.decode(chunk, { stream: true });
  if (said !== keep) process.exit(1);
}

/** Before /proc is mounted anew: what it shows still counts as the host does. */
function recordSelf(directory: string): void {
  const record = readRecord(directory);
  const init = ownProcess();
  if (record === undefined || init === undefined)
    throw new TwillError("internal", "nobody has claimed this directory", {
      operation: "start lab",
      object: directory,
    });
  writeRecord(directory, { ...record, init });
}

/** The host's files as this lab sees them: with its own /proc, and directories to mount the nodes' own on. */
function makeRoom(directory: string): void {
  try {
    mountProc("/proc");
  } catch (cause) {
    throw new TwillError("unsupported", "this machine does not let a user namespace mount /proc", {
      operation: "start lab",
      remedy: "it is a container that masks parts of /proc: start that container privileged, or use the machine itself",
      cause,
    });
  }
  for (const path of mountPoints(false)) ensureMountPoint(path);
  linkPlugins(directory, requireProgram(findPrograms(), "twill-cni"));
}

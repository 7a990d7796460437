import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import { removeCgroups } from "./kubernetes/cgroups.ts";
import { awaitEnd, findProcesses, identify, isAlive, killProcess, type ProcessId } from "./process.ts";

/**
 * The lab's directory on the host: the only thing of the lab that is outside its namespaces, and how later commands find
 * it. Everything else (devices, mounts, processes) lives in namespaces that end with the lab's first process.
 *
 *     lab.json  who made it, who runs it      lab.log   what the lab itself had to say
 *     lab.sock  where it answers (control.ts) store/    the cluster's datastore
 *     nodes/N/  the node's disk and its agent's log
 */
export interface LabRecord {
  readonly version: 1;
  readonly creator: ProcessId;
  /** The lab's first process; absent in the first milliseconds. */
  readonly init?: ProcessId;
  /** Made without root, in a user namespace: who enters must enter that too. */
  readonly rootless: boolean;
}

/** In the environment of each process of a lab: which lab it belongs to. How leftovers are found whatever was recorded. */
export const labVariable = "TWILL_LAB_DIRECTORY";

/** TWILL_LAB names another directory, for several labs at once. */
export function labDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment.TWILL_LAB;
  if (chosen !== undefined && chosen !== "") return resolve(chosen);
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0) return "/run/twill-lab";
  const runtime = environment.XDG_RUNTIME_DIR ?? "";
  // After su it may still be said, and not be there or be somebody else's.
  const isOurs = runtime !== "" && statSync(runtime, { throwIfNoEntry: false })?.uid === uid;
  return isOurs ? join(runtime, "twill-lab") : `/tmp/twill-lab-${uid}`;
}

export const isInsideLab = (): boolean => process.env[labVariable] !== undefined;

/** undefined: no lab, or a directory that nobody finished making. */
export function readRecord(directory: string): LabRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(directory, "lab.json"), "utf8")) as LabRecord;
    return record.version === 1 ? record : undefined;
  } catch {
    return undefined;
  }
}

export function writeRecord(directory: string, record: LabRecord): void {
  const path = join(directory, "lab.json");
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Whether a lab runs there or is being made. */
export function isRunning(directory: string): boolean {
  const record = readRecord(directory);
  return record !== undefined && (isAlive(record.creator) || (record.init !== undefined && isAlive(record.init)));
}

/**
 * Takes the directory for a new lab, atomically: of two at once one gets it. @throws TwillError `exists`.
 */
export function claimDirectory(directory: string, rootless: boolean): void {
  checkPath(directory);
  const creator = identify(process.pid);
  if (creator === undefined) throw new TwillError("internal", "this process is not in /proc");
  const claim = `${directory}.claim-${creator.pid}-${creator.startTime}`;
  rmSync(claim, { recursive: true, force: true });
  mkdirSync(claim, { mode: 0o700 });
  chmodSync(claim, 0o700); // whatever the umask
  writeRecord(claim, { version: 1, creator, rootless });
  try {
    // rename(2) replaces an empty directory and refuses a full one.
    renameSync(claim, directory);
  } catch (cause) {
    rmSync(claim, { recursive: true, force: true });
    throw new TwillError("exists", "somebody else is making a lab there", {
      operation: "create lab",
      object: directory,
      remedy: 'run "twill lab down" first, or set TWILL_LAB to another directory',
      cause,
    });
  }
}

/** Room for the socket's name in sockaddr_un, 108 bytes with its NUL (unix(7)): "/lab.sock.new". */
const longestPath = 107 - 13;

function checkPath(directory: string): void {
  const refuse = (message: string, remedy: string) =>
    new TwillError("invalid", message, { operation: "create lab", object: directory, remedy });
  if (!existsSync(dirname(directory)))
    throw refuse("the directory above it is missing", `make ${dirname(directory)} first, or choose another TWILL_LAB`);
  if (Buffer.byteLength(directory) > longestPath)
    throw refuse(`its name is longer than ${longestPath} bytes`, "choose a shorter TWILL_LAB");
}

/**
 * Ends whatever is left of the lab and removes its directory; nothing happens when there is none. Killing the first
 * process of a PID namespace ends all in it before it is gone itself (pid_namespaces(7)), and with them go their
 * network and mount namespaces.
 * @throws TwillError `denied` when the directory is somebody else's, `unavailable` when something will not die.
 */
export async function removeLab(directory: string): Promise<boolean> {
  const existed = checkOwner(directory);
  const init = readRecord(directory)?.init;
  let found = existed;
  let unknown = "";
  // Again until nobody is found: a member may fork while we look.
  for (let round = 0; round < 100; round++) {
    const seen = members(directory);
    const left = init === undefined || !isAlive(init) ? seen.members : [init, ...seen.members];
    if (left.length === 0 && seen.unknown === unknown) break;
    unknown = seen.unknown;
    found ||= left.length > 0;
    for (const member of left) killProcess(member);
    if (!(await awaitEnd(left, 5000)))
      throw new TwillError("unavailable", `processes ${left.map((member) => member.pid).join(", ")} do not end`, {
        operation: "remove lab",
        object: directory,
        remedy: "they wait for the kernel; run the command again later",
      });
    await Bun.sleep(2);
  }
  await removeCgroups(directory);
  rmSync(directory, { recursive: true, force: true });
  removeStaleClaims(directory);
  return found;
}

/**
 * Processes that belong to the lab, by their environment, and those of which it cannot be said yet: in the middle of
 * execve(2) a process shows an empty environment (as kernel threads do for ever).
 */
function members(directory: string): { readonly members: readonly ProcessId[]; readonly unknown: string } {
  const marker = `${labVariable}=${directory}`;
  const unknown: string[] = [];
  const found = findProcesses((folder) => {
    const environment = readFileSync(`${folder}/environ`, "latin1");
    if (environment === "") unknown.push(folder);
    return environment.split("\0").includes(marker);
  });
  return { members: found.filter(({ pid }) => pid !== process.pid), unknown: unknown.join() };
}

/** Whether the directory is there. Under /tmp anybody could have made it: what is not ours is neither used nor removed. */
function checkOwner(directory: string): boolean {
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (!stat.isDirectory() || stat.uid !== process.geteuid?.())
    throw new TwillError("denied", "it is not a directory of yours", {
      operation: "use lab",
      object: directory,
      remedy: "set TWILL_LAB to a directory that does not exist yet",
    });
  return true;
}

/** What a creator left that was killed between making its claim and renaming it. */
function removeStaleClaims(directory: string): void {
  if (!existsSync(dirname(directory))) return;
  const prefix = `${basename(directory)}.claim-`;
  for (const name of readdirSync(dirname(directory)).filter((entry) => entry.startsWith(prefix))) {
    const [pid, startTime] = name.slice(prefix.length).split("-");
    if (startTime !== undefined && !isAlive({ pid: Number(pid), startTime }))
      rmSync(join(dirname(directory), name), { recursive: true, force: true });
  }
}

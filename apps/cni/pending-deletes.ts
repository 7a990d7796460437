import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import type { CniCall } from "../../src/rpc/methods.ts";

/**
 * DELs that came while the agent was away, one file each: the plugin writes them, the agent carries them out. They lie beside
 * the agent's socket, in /run: after a reboot no container is left, and the addresses are freed without them.
 */
export const pendingFolder = (socket: string): string => join(dirname(socket), "pending");

/** More than any node has pods: whoever fills this is broken, and must not fill /run, which is memory. */
const maximumFiles = 4096;
const version = 1;

export interface PendingDelete {
  /** Name of the file. */
  readonly name: string;
  readonly call: CniCall;
}

/**
 * Under a name that follows from the attachment, so that a repeated DEL takes no second file. No fsync: what a crash of the
 * machine takes away, its reboot frees.
 * @throws TwillError `exhausted`, `io`.
 */
export function queueDelete(folder: string, call: CniCall): void {
  const { CNI_CONTAINERID = "", CNI_IFNAME = "" } = call.variables;
  const name = `${CNI_CONTAINERID.slice(0, 100)}-${Bun.hash(`${CNI_CONTAINERID}\0${CNI_IFNAME}\0${call.config}`).toString(16)}`;
  const details = { operation: "queue DEL", object: folder };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (readdirSync(folder).length >= maximumFiles) {
      throw new TwillError("exhausted", `${maximumFiles} deletions are waiting for the agent`, {
        ...details,
        remedy: "start twill-agent on this node: it carries them out",
      });
    }
    const temporary = join(folder, `.${name}.${process.pid}`);
    writeFileSync(temporary, JSON.stringify({ version, ...call }), { mode: 0o600 });
    renameSync(temporary, join(folder, `${name}.json`));
  } catch (cause) {
    if (cause instanceof TwillError) throw cause;
    throw new TwillError("io", cause instanceof Error ? cause.message : String(cause), { ...details, cause });
  }
}

/** Whatever cannot be read is reported as `unreadable`, never taken for a deletion. */
export function readPending(folder: string): { readonly deletes: PendingDelete[]; readonly unreadable: string[] } {
  const deletes: PendingDelete[] = [];
  const unreadable: string[] = [];
  for (const name of list(folder)) {
    const call = parseCall(folder, name);
    if (call === undefined) unreadable.push(name);
    else deletes.push({ name, call });
  }
  return { deletes, unreadable };
}

export function removePending(folder: string, name: string): void {
  rmSync(join(folder, name), { force: true });
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".json"));
  } catch {
    return []; // nothing was ever queued
  }
}

function parseCall(folder: string, name: string): CniCall | undefined {
  try {
    const stored: unknown = JSON.parse(readFileSync(join(folder, name), "utf8"));
    if (typeof stored !== "object" || stored === null || !("variables" in stored) || !("config" in stored)) return;
    const { variables, config } = stored;
    if (typeof config !== "string" || typeof variables !== "object" || variables === null) return;
    const texts = Object.entries(variables).filter((entry): entry is [string, string] => typeof entry[1] === "string");
    return { variables: Object.fromEntries(texts), config };
  } catch {
    return undefined;
  }
}

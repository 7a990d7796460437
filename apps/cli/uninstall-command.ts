import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { describeError, TwillError } from "../../src/base/errors.ts";
import { ENODEV, ESRCH } from "../../src/kernel/errno.ts";
import { tryLock } from "../../src/kernel/file-lock.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import type { RtnlOperation } from "../../src/kernel/rtnl.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import { TWILL_POD_ROUTE_PROTOCOL, TWILL_ROUTE_PROTOCOL } from "../../src/objects/route.ts";
import { twillTable } from "../../src/render/masquerade.ts";
import { conflistName } from "../agent/conflist.ts";
import { madeFolders } from "../agent/files.ts";
import { SysctlLedger } from "../agent/sysctl-ledger.ts";
import { agentSocket, defaultCniConfDir, defaultRunDir, defaultStateDir, defaultSubnetFile } from "../defaults.ts";
import { boolean, text } from "../flags.ts";
import { removeInstalled } from "../install/installed-files.ts";
import { command, type Output } from "./command.ts";

const flags = {
  stateDir: text(defaultStateDir, "the agent's --state-dir", "DIR"),
  runDir: text(defaultRunDir, "the agent's --run-dir", "DIR"),
  subnetFile: text(defaultSubnetFile, "the agent's --subnet-file", "FILE"),
  cniConfDir: text(defaultCniConfDir, "the agent's --cni-conf-dir", "DIR"),
  force: boolean(false, "also with pods on this node: they lose their network"),
};

export const uninstall = command({
  name: "uninstall",
  summary: "Take away every device, route, table, file and kernel setting of Twill on this node",
  help: `
Stop the agent first. The node is then as it was before Twill: kernel settings get the values that they had. The datastore
is left alone; "twill delete node NAME" gives the node's subnet back.

  twill uninstall`,
  flags,
  run: ({ flags }, output) => {
    const lock = existsSync(flags.runDir) ? tryLock(`${agentSocket(flags.runDir)}.lock`) : undefined;
    if (lock === undefined && existsSync(flags.runDir)) {
      throw new TwillError("conflict", "the agent of this node is running", {
        operation: "uninstall",
        object: agentSocket(flags.runDir),
        remedy: "stop twill-agent first, and keep its supervisor from starting it again",
      });
    }
    const failures: string[] = [];
    const step = (what: string, work: () => readonly string[]) => {
      try {
        for (const removed of work()) output.out(`removed ${removed}\n`);
      } catch (error) {
        failures.push(`${what}: ${describeError(error)}`);
      }
    };
    refuseWithPods(flags.force);
    // First nobody is sent here any more, then the kernel, and what remembers how it was goes last.
    step("conflist", () => removeFile(join(flags.cniConfDir, conflistName)));
    step("nf_tables", removeTables);
    step("routes and devices", removeKernelObjects);
    step("kernel settings", () =>
      new SysctlLedger(kernelSysctls(), join(flags.stateDir, "sysctls.json"))
        .restore()
        .map((setting) => `our value of ${setting}`),
    );
    lock?.release();
    if (failures.length > 0) return report(failures, output);
    step("files", () => {
      const folders = madeFolders(flags.stateDir);
      return [
        ...removeInstalled(flags.stateDir),
        ...removeFile(flags.subnetFile),
        ...removeFolder(flags.runDir, folders.includes(flags.runDir), runFiles),
        ...removeFolder(flags.stateDir, folders.includes(flags.stateDir), stateFiles),
        ...removeEmpty(folders),
      ];
    });
    return report(failures, output);
  },
});

function report(failures: readonly string[], output: Output): number {
  for (const failure of failures) output.error(`not removed: ${failure}\n`);
  return failures.length === 0 ? 0 : 1;
}

function refuseWithPods(force: boolean): void {
  const rtnl = openRtnl();
  try {
    const pods = rtnl.links().filter((link) => link.name.startsWith("twl") && link.alias === "twill");
    if (pods.length === 0 || force) return;
    throw new TwillError("conflict", `${pods.length} pods of this node still have a network by Twill`, {
      operation: "uninstall",
      remedy: "drain the node first, or --force",
    });
  } finally {
    rtnl.close();
  }
}

function removeTables(): string[] {
  const nft = openNft();
  try {
    const { family, table } = twillTable;
    if (!nft.tables().some((found) => found.family === family && found.name === table)) return [];
    nft.transaction([{ op: "table.delete", family, table }]);
    return [`nf_tables table ${family} ${table}`];
  } finally {
    nft.close();
  }
}

function removeKernelObjects(): string[] {
  const rtnl = openRtnl();
  try {
    const routes = [TWILL_ROUTE_PROTOCOL, TWILL_POD_ROUTE_PROTOCOL].flatMap((protocol) => rtnl.routes({ protocol }));
    const links = rtnl.links().filter((link) => link.alias === "twill");
    const operations: RtnlOperation[] = [
      ...routes.map((route): RtnlOperation => ({ op: "route.delete", route })),
      ...links.map((link): RtnlOperation => ({ op: "link.delete", index: link.index })),
    ];
    const refused = rtnl.apply(operations).filter((error) => error !== undefined && !isGone(error));
    if (refused[0] !== undefined) throw refused[0];
    return [...(routes.length > 0 ? [`${routes.length} routes`] : []), ...links.map((link) => `device ${link.name}`)];
  } finally {
    rtnl.close();
  }
}

/** A device takes its routes and its peer along. */
const isGone = (error: TwillError): boolean =>
  error.code === "not-found" || error.errno === ESRCH || error.errno === ENODEV;

function removeFile(path: string): string[] {
  if (!existsSync(path)) return [];
  rmSync(path);
  return [path];
}

/** What the agent keeps in its two folders, temporary files of a crash included. */
const runFiles = /^(agent\.sock|agent\.sock\.lock|agent-away|pending)$/;
const stateFiles =
  /^((addresses|.*\.network)\.db(-wal|-shm|-journal)?|(node|position|sysctls|folders|installed|net-conf\.last-good)\.json|cache|flows|\..*\.tmp)$/;

/**
 * A folder that was there before (a mounted volume, or one that somebody shares with us) stays, without what is ours. Kubelet
 * makes what the DaemonSet mounts before we could see that it was missing: so what bears our name and is empty goes too.
 */
function removeFolder(path: string, made: boolean, ours: RegExp): string[] {
  if (!existsSync(path)) return [];
  const paths = made ? [path] : readdirSync(path).flatMap((name) => (ours.test(name) ? [join(path, name)] : []));
  for (const each of paths) rmSync(each, { recursive: true });
  const empty = !made && basename(path) === "twill" && readdirSync(path).length === 0 && removesEmpty(path);
  return empty ? [...paths, path] : paths;
}

/** Not where something is mounted there: EBUSY. */
function removesEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Folders that the agent made, innermost first; one that holds somebody else's files stays. */
function removeEmpty(folders: readonly string[]): string[] {
  const removed: string[] = [];
  for (const folder of [...folders].reverse()) {
    if (!existsSync(folder) || readdirSync(folder).length > 0) continue;
    rmdirSync(folder);
    removed.push(folder);
  }
  return removed;
}

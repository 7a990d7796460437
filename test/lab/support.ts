import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { labVariable } from "../../lab/directory.ts";
import { findProcesses, type ProcessId } from "../../lab/process.ts";

/** Built by `npm test` before it starts. */
export const dist = process.env.TWILL_DIST ?? join(import.meta.dir, "../../dist");

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A lab of the test's own, in a directory of its own, beside whatever else runs on this machine. */
export class TestLab implements AsyncDisposable {
  readonly parent = mkdtempSync("/tmp/twill-lab-test-");
  readonly directory = join(this.parent, "lab");
  /** Put before the command line: setpriv and the like. */
  readonly prefix: readonly string[];
  readonly #mountsBefore: ReadonlySet<string> = new Set(mountLines());

  constructor(prefix: readonly string[] = []) {
    this.prefix = prefix;
  }

  start(...args: string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn([...this.prefix, join(dist, "twill"), "lab", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TWILL_LAB: this.directory },
    });
  }

  async run(...args: string[]): Promise<Ran> {
    const child = this.start(...args);
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { status: await child.exited, stdout, stderr };
  }

  /** As run, but the command must succeed. */
  async do(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...args);
    if (status !== 0) throw new Error(`twill lab ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Every process of this lab, inside and out. */
  processes(): ProcessId[] {
    const marker = `${labVariable}=${this.directory}`;
    return findProcesses((folder) => readFileSync(`${folder}/environ`, "latin1").split("\0").includes(marker));
  }

  /**
   * Namespaces of the lab's processes, and those that its first process holds open, by name ("net:[4026532281]"), each
   * held by a descriptor until `traces` lets go of it: the kernel gives a dead namespace's number to the next one.
   */
  namespaces(): Map<string, number> {
    const held = new Map<string, number>();
    for (const { pid } of this.processes())
      for (const [name, path] of namespacesOf(`/proc/${pid}`)) {
        if (own.has(name) || held.has(name)) continue;
        try {
          held.set(name, openSync(path, "r"));
        } catch {
          // Gone since.
        }
      }
    return held;
  }

  /**
   * What is left of it, in words; empty when nothing is. Other tests run on this machine too, so what is looked for is
   * the lab's own: its processes, its namespaces (by number, wherever they are held), mounts and files of its directory.
   */
  traces(namespaces: ReadonlyMap<string, number>): string[] {
    const held = findProcesses(
      (folder) => folder !== `/proc/${process.pid}` && namespacesOf(folder).some(([name]) => namespaces.has(name)),
    );
    for (const fd of namespaces.values()) closeSync(fd);
    const mounts = mountLines().filter((line) => !this.#mountsBefore.has(line));
    return [
      ...this.processes().map(({ pid }) => `process ${pid}`),
      ...held.map(({ pid }) => `process ${pid} in a namespace of the lab`),
      ...mounts.filter((line) => line.includes(this.parent) || line.includes("nsfs")),
      ...readdirSync(this.parent).map((name) => `file ${name}`),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.run("down");
    } finally {
      rmSync(this.parent, { recursive: true, force: true });
    }
  }
}

const mountLines = (): string[] => readFileSync("/proc/self/mounts", "utf8").split("\n");

const kinds = ["net", "mnt", "uts", "pid", "user"];
const own = new Set(kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)));

/** Without the machine's root, others' processes keep their descriptors to themselves; a process may also end meanwhile. */
function readableFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Names and paths. */
function namespacesOf(folder: string): [string, string][] {
  const descriptors = readableFolder(`${folder}/fd`).map((fd) => `${folder}/fd/${fd}`);
  return [...kinds.map((kind) => `${folder}/ns/${kind}`), ...descriptors].flatMap((path) => {
    try {
      const target = readlinkSync(path);
      return /^\w+:\[\d+\]$/.test(target) && kinds.includes(target.split(":")[0] ?? "") ? [[target, path]] : [];
    } catch {
      return [];
    }
  });
}

/** What of this machine's own network a lab could have touched. */
export function hostNetwork(): string {
  const run = (...command: string[]) => Bun.spawnSync(command, { stderr: "ignore" }).stdout.toString();
  return [
    run("ip", "-o", "link").replaceAll(/ state \w+/g, ""),
    run("ip", "-o", "addr").replaceAll(/valid_lft \S+ preferred_lft \S+/g, ""),
    run("ip", "route", "show", "table", "all"),
    run("nft", "list", "tables"),
    readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"),
    readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8"),
  ].join("\n");
}

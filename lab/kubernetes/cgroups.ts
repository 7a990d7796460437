import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";

/**
 * The nodes' cgroups. They are directories of the machine's own hierarchies, which no namespace takes away, so they are
 * the one thing that a Kubernetes lab has to remove itself. Their name follows from the lab's directory: nothing has to
 * be recorded for that.
 */
const mountPoint = "/sys/fs/cgroup";

/** Below the root of each hierarchy: "twill-lab-1c2f3a4b". */
export const labCgroup = (labDirectory: string): string =>
  `twill-lab-${new Bun.CryptoHasher("sha256").update(labDirectory).digest("hex").slice(0, 8)}`;

export const nodeCgroup = (labDirectory: string, node: string): string => join(labCgroup(labDirectory), node);

/** One directory with cgroup v2; one a controller with v1, whose joint names (cpu → cpu,cpuacct) are symbolic links. */
function hierarchies(): string[] {
  if (existsSync(join(mountPoint, "cgroup.controllers"))) return [mountPoint];
  return entries(mountPoint)
    .map((name) => join(mountPoint, name))
    .filter((path) => lstatSync(path).isDirectory() && existsSync(join(path, "cgroup.procs")));
}

/** Kubelet and runc expect that the directory which they put pods into is there. */
export function makeNodeCgroup(labDirectory: string, node: string): void {
  for (const hierarchy of hierarchies()) {
    let path = hierarchy;
    for (const name of [labCgroup(labDirectory), node]) {
      const parent = path;
      path = join(path, name);
      mkdirSync(path, { recursive: true });
      inheritCpuset(parent, path);
    }
  }
}

/** In a new cpuset of v1 nothing may run until it has processors and memory (cpuset(7)). */
function inheritCpuset(parent: string, child: string): void {
  if (existsSync(join(child, "cgroup.controllers"))) return;
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const path = join(child, file);
    if (existsSync(path) && readFileSync(path, "utf8").trim() === "")
      writeFileSync(path, readFileSync(join(parent, file), "utf8"));
  }
}

/** Every container of the node dies, as in a power cut. @throws TwillError `unavailable` when one does not. */
export async function killNodeCgroup(labDirectory: string, node: string): Promise<void> {
  for (let round = 0; round < 200; round++) {
    const left = processesBelow(nodeCgroup(labDirectory, node));
    if (left.length === 0) return;
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone since.
      }
    }
    await Bun.sleep(10);
  }
  throw new TwillError("unavailable", "some of its containers do not end", { operation: "stop node", object: node });
}

function processesBelow(name: string): number[] {
  const found = hierarchies().flatMap((hierarchy) => below(join(hierarchy, name)));
  const pids = found.flatMap((path) => {
    try {
      return readFileSync(join(path, "cgroup.procs"), "utf8").split("\n");
    } catch {
      return []; // removed meanwhile
    }
  });
  // 0 stands for a process outside the reader's PID namespace, and to kill(2) for the caller's whole group.
  return [...new Set(pids.filter((pid) => /^[1-9]\d*$/.test(pid)).map(Number))];
}

/** For one node or, without a name, the lab. Its processes must have ended; the kernel may take a moment to notice. */
export async function removeCgroups(labDirectory: string, node?: string): Promise<void> {
  const name = node === undefined ? labCgroup(labDirectory) : nodeCgroup(labDirectory, node);
  for (const path of hierarchies().flatMap((hierarchy) => below(join(hierarchy, name)))) await removeDirectory(path);
}

async function removeDirectory(path: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(path);
      return;
    } catch (cause) {
      if (!existsSync(path)) return;
      if (attempt === 100)
        throw new TwillError("unavailable", "the cgroup cannot be removed", {
          operation: "remove lab",
          object: path,
          remedy: "a process is still in it; run the command again later",
          cause,
        });
      await Bun.sleep(10);
    }
  }
}

/** The directory and all in it, children first. Whoever ends in there meanwhile takes its directory along. */
function below(path: string): string[] {
  try {
    const children = readdirSync(path, { withFileTypes: true }).filter((child) => child.isDirectory());
    return [...children.flatMap(({ name }) => below(join(path, name))), path];
  } catch (error) {
    if (existsSync(path)) throw error;
    return [];
  }
}

const entries = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

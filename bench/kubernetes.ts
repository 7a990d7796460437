import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adminKubeconfig } from "../lab/kubernetes/settings.ts";
import { onDisk } from "../lab/node-disk.ts";
import { prepareCluster } from "../scripts/cluster/prepare.ts";
import type { PodStarts } from "./pod-starts.ts";
import { type Comparison, compare } from "./report.ts";
import type { Bench } from "./run.ts";

const node = "node1";
const bridgeRange = "10.245.1.0/24";
/** Before ours by name, so that a container runtime prefers it. */
const bridgeFile = "/etc/cni/net.d/00-bridge.conflist";
const against = "bridge";
/** containerd reads its CNI configuration anew when the folder changes. */
const configured = 1000;
const sizes = [
  { count: 1, rounds: 20 },
  { count: 100, rounds: 4 },
] as const;

/**
 * Pods of a real Kubernetes from their creation to Ready, on one node, in turns with Twill's CNI configuration and with
 * Debian's bridge and host-local in its place. Everything else is the same: kubelet, containerd, image, cluster.
 */
export async function benchKubernetes({ programs, folder, progress, scale }: Bench): Promise<Comparison[]> {
  await prepareCluster(progress);
  mkdirSync(folder, { recursive: true });
  const directory = join(folder, "lab");
  const lab = (...args: string[]): string => runLab(programs, directory, args);
  const down = () => void Bun.spawnSync([join(programs, "twill"), "lab", "down"], { env: environment(directory) });
  process.prependListener("exit", down);
  try {
    progress("starting Kubernetes");
    lab("up", "--kubernetes", "--nodes", "1");
    const rows: Comparison[] = [];
    for (const { count, rounds } of sizes) {
      const turns = Math.max(2, Math.ceil(rounds * scale));
      rows.push(
        ...compareTurns(count, turns, directory, lab, (turn) => progress(`${count} pods: turn ${turn} of ${turns}`)),
      );
    }
    return rows;
  } finally {
    process.removeListener("exit", down);
    down();
  }
}

function compareTurns(
  count: number,
  turns: number,
  directory: string,
  lab: (...args: string[]) => string,
  progress: (turn: number) => void,
): Comparison[] {
  const [ours, theirs]: [PodStarts[], PodStarts[]] = [[], []];
  for (let turn = 1; turn <= turns; turn++) {
    progress(turn);
    for (const side of [ours, theirs]) {
      useBridge(directory, side === theirs);
      Bun.sleepSync(configured);
      // The first pod of a turn is not counted: it shows that the runtime has changed over.
      for (const isCounted of [false, true]) {
        const name = `bench-${side === ours ? "ours" : "theirs"}-${count}-${turn}-${isCounted ? "counted" : "first"}`;
        const starts = podStarts(lab, directory, isCounted ? count : 1, name);
        if (starts.address.startsWith("10.245.") !== (side === theirs))
          throw new Error(`a pod got ${starts.address}: the runtime has not changed over`);
        if (isCounted) side.push(starts);
      }
    }
  }
  useBridge(directory, false);
  const readyOf = (side: readonly PodStarts[]) => side.flatMap(({ ready }) => ready);
  const allOf = (side: readonly PodStarts[]) => side.map(({ all }) => all);
  const pairs = { ours: allOf(ours), theirs: allOf(theirs) };
  const what = count === 1 ? "a pod alone, from its creation to Ready" : `${count} pods at once, each to Ready`;
  const rows = [compare({ what, against, unit: "ms", ours: readyOf(ours), theirs: readyOf(theirs), pairs })];
  if (count === 1) return rows;
  const last = { what: `${count} pods at once, until the last is Ready`, against, unit: "ms", ...pairs };
  return [...rows, compare(last)];
}

function podStarts(lab: (...args: string[]) => string, directory: string, count: number, name: string): PodStarts {
  const script = join(import.meta.dir, "pod-starts.ts");
  const command = [process.execPath, script, adminKubeconfig(directory), node, String(count), name];
  return JSON.parse(lab("exec", "control", "--", ...command)) as PodStarts;
}

/** As Flannel's plugin calls it, but with addresses of its own. */
function useBridge(directory: string, use: boolean): void {
  const path = onDisk(join(directory, "nodes", node), bridgeFile);
  rmSync(path, { force: true });
  if (!use) return;
  for (const plugin of ["bridge", "host-local"])
    copyFileSync(`/usr/lib/cni/${plugin}`, onDisk(join(directory, "nodes", node), `/opt/cni/bin/${plugin}`));
  const ipam = { type: "host-local", ranges: [[{ subnet: bridgeRange }]], routes: [{ dst: "10.244.0.0/16" }] };
  const bridge = { type: "bridge", bridge: "cni0", mtu: 1450, isDefaultGateway: true, hairpinMode: true, ipam };
  writeFileSync(`${path}.new`, JSON.stringify({ cniVersion: "1.0.0", name: "bench", plugins: [bridge] }));
  renameSync(`${path}.new`, path);
}

const environment = (directory: string) => ({ ...process.env, TWILL_LAB: directory });

function runLab(programs: string, directory: string, args: readonly string[]): string {
  const argv = [join(programs, "twill"), "lab", ...args];
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { env: environment(directory), stdin: "ignore" });
  if (exitCode === 0) return stdout.toString();
  throw new Error(`twill lab ${args.slice(0, 3).join(" ")}: exit ${exitCode}: ${stderr.toString().slice(-2000)}`);
}

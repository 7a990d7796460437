import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CniJson, TestNode } from "../../apps/agent/cni-service/test-node.fixture.ts";
import { kubernetesBinary, type Program } from "../../lab/kubernetes/binaries.ts";
import type { TestNetns } from "../support/netns.ts";

const dist = process.env.TWILL_DIST ?? join(import.meta.dir, "../../dist");

/** A folder of executables as CNI_PATH names one: Twill's as it is installed, others built from their Go modules. */
export async function pluginFolder(node: TestNode, others: readonly Program[]): Promise<string> {
  const folder = join(node.folder, "bin");
  mkdirSync(folder, { recursive: true });
  for (const name of ["twill-cni", "twill"]) symlinkSync(join(dist, name), join(folder, name));
  for (const name of others) symlinkSync(await builtProgram(name), join(folder, name));
  return folder;
}

export const builtProgram = (name: Program): Promise<string> =>
  kubernetesBinary(name, (line) => process.stderr.write(`twill: ${line}\n`));

export interface ListEntry {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** libcni's own runtime in the place of containerd: reads a configuration list, keeps results, calls the plugins. */
export class CniTool {
  readonly #node: TestNode;
  readonly #program: string;
  readonly #plugins: string;
  readonly #network: string;

  /** @param plugins made by `pluginFolder`. */
  static async of(node: TestNode, plugins: string, network: string, entries: readonly ListEntry[]): Promise<CniTool> {
    const folder = join(node.folder, "net.d");
    mkdirSync(folder, { recursive: true });
    mkdirSync(join(node.folder, "lib"), { recursive: true });
    const list = { cniVersion: "1.1.0", name: network, plugins: entries.map((entry) => located(entry, node)) };
    writeFileSync(join(folder, `${network}.conflist`), JSON.stringify(list));
    return new CniTool(node, await builtProgram("cnitool"), plugins, network);
  }

  private constructor(node: TestNode, program: string, plugins: string, network: string) {
    this.#node = node;
    this.#program = program;
    this.#plugins = plugins;
    this.#network = network;
  }

  add(pod: TestNetns, more: Asked = {}): CniJson {
    return JSON.parse(this.run("add", pod, more));
  }

  /** @throws Error with what it says, when a plugin refuses. */
  run(command: "add" | "check" | "del" | "gc" | "status", pod: TestNetns, more: Asked = {}): string {
    const { folder, netns } = this.#node;
    const { ifname = "eth0", capabilities } = more;
    // What libcni keeps, it keeps in /var/lib/cni: the machine's is not ours.
    const script = 'mount --bind "$1" /var/lib && shift && exec "$@"';
    const inside = ["unshare", "--mount", "sh", "-c", script, "sh", join(folder, "lib"), this.#program];
    const { exitCode, stdout, stderr } = netns.enter(() =>
      Bun.spawnSync([...inside, command, this.#network, `/proc/${process.pid}/fd/${pod.fd}`], {
        env: {
          PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
          CNI_PATH: this.#plugins,
          CNI_IFNAME: ifname,
          NETCONFPATH: join(folder, "net.d"),
          ...(capabilities === undefined ? {} : { CAP_ARGS: JSON.stringify(capabilities) }),
        },
        timeout: 30_000,
      }),
    );
    if (exitCode !== 0) throw new Error(`cnitool ${command}: ${stdout}${stderr}`);
    return stdout.toString();
  }
}

export interface Asked {
  readonly ifname?: string;
  readonly capabilities?: Readonly<Record<string, unknown>>;
}

/** The agent of this test's node is not where the plugin would look for it. */
export const located = (entry: ListEntry, { socket }: TestNode): ListEntry =>
  entry.type === "twill-cni" ? { ...entry, socket } : entry;

import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { callAgent } from "../src/rpc/client.ts";
import { startInBackground } from "./background.ts";
import { Namespace } from "./namespace.ts";

/** Private to the benchmark's namespace, which has no way out: nothing of it is ever sent anywhere. */
const underlay = { address: "192.0.2.1/24", gateway: "192.0.2.254" };

const metricsUrl = "http://127.0.0.1:9099/metrics";

/** Milliseconds of processor time, of threads that have ended, too, to 10 ms (/proc/PID/stat, in clock ticks). */
export function processorOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** A node with nobody around: a namespace, an underlay that leads nowhere, and `twill-agent` with all its files in one folder. */
export class AgentNode {
  readonly netns: Namespace;
  readonly folder: string;
  /** URL. */
  readonly datastore: string;
  readonly #programs: string;
  #agent: Bun.Subprocess | undefined;

  /**
   * @param network net-conf.json. @param datastore URL, where it is not an embedded one of the node's own. @param netns
   * an empty one that others are in, too.
   */
  constructor(
    programs: string,
    folder: string,
    network: object,
    datastore = `embedded:${join(folder, "cluster.db")}`,
    netns = new Namespace(),
  ) {
    this.netns = netns;
    this.#programs = programs;
    this.folder = folder;
    this.datastore = datastore;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "net-conf.json"), JSON.stringify(network));
    this.netns.run("ip link set lo up");
    this.netns.run("ip link add eth0 type veth peer name nowhere");
    this.netns.run(`ip addr add ${underlay.address} dev eth0`);
    for (const device of ["nowhere", "eth0"]) this.netns.run(`ip link set ${device} up`);
    this.netns.run(`ip route add default via ${underlay.gateway}`);
  }

  /** Resolves when pods can be added. */
  async start(...flags: string[]): Promise<void> {
    this.launch(...flags);
    const deadline = performance.now() + 60_000;
    while (!this.#isReady()) {
      this.check();
      if (performance.now() > deadline) throw new Error(`the agent is not ready after a minute:\n${this.#log()}`);
      await Bun.sleep(2);
    }
  }

  /** Starts the process, and waits for nothing. */
  launch(...flags: string[]): void {
    const { folder } = this;
    const log = openSync(join(folder, "agent.log"), "a", 0o600);
    const command = [
      join(this.#programs, "twill-agent"),
      ...["--node-name", "node-0", "--datastore", this.datastore],
      ...["--net-config-path", join(folder, "net-conf.json"), "--subnet-file", join(folder, "subnet.env")],
      ...[
        "--state-dir",
        join(folder, "state"),
        "--run-dir",
        join(folder, "run"),
        "--cni-conf-dir",
        join(folder, "cni"),
      ],
      ...flags,
    ];
    this.#agent = this.netns.enter(() => startInBackground(command, log));
    closeSync(log);
  }

  /** @throws Error when the agent has ended by itself. */
  check(): void {
    if (this.#agent?.exitCode != null) throw new Error(`the agent does not run:\n${this.#log()}`);
  }

  #log(): string {
    return readFileSync(join(this.folder, "agent.log"), "utf8").slice(-2000);
  }

  get pid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** As a container runtime asks; the conflist alone may be of an agent before. */
  #isReady(): boolean {
    try {
      const call = { variables: { CNI_COMMAND: "STATUS" }, config: JSON.stringify(this.pluginConfig()) };
      return callAgent("cni", call, { path: join(this.folder, "run/agent.sock"), timeout: 60_000 }).status === 0;
    } catch {
      return false;
    }
  }

  /** The configuration that a container runtime gives to the plugin. */
  pluginConfig(): object {
    const list = JSON.parse(readFileSync(join(this.folder, "cni/10-twill.conflist"), "utf8"));
    return { ...list.plugins[0], cniVersion: list.cniVersion, name: list.name };
  }

  /** Milliseconds of processor time that the agent has used (/proc/PID/task/TID/schedstat). */
  processor(): number {
    const tasks = `/proc/${this.#agent?.pid}/task`;
    const nanoseconds = readdirSync(tasks).map((task) =>
      Number(readFileSync(join(tasks, task, "schedstat"), "utf8").split(" ")[0]),
    );
    return nanoseconds.reduce((sum, time) => sum + time, 0) / 1e6;
  }

  /** The same over a longer time, to 10 ms: of threads that have ended, too (/proc/PID/stat, in clock ticks). */
  processorInAll(): number {
    return processorOf(this.pid);
  }

  /** What the agent asked of the kernel since it runs, by operation. */
  kernelWrites(): Record<string, number> {
    const metrics = this.netns.run(`${process.execPath} ${join(import.meta.dir, "fetch.ts")} ${metricsUrl}`);
    const found = metrics.matchAll(/^twill_kernel_writes_total\{op="([^"]*)"\} (\d+)$/gm);
    return Object.fromEntries(Array.from(found, ([, operation = "", count]) => [operation, Number(count)]));
  }

  /** Resident, bytes, without what it shares with other processes: files. */
  memory(): number {
    const status = readFileSync(`/proc/${this.#agent?.pid}/status`, "utf8");
    return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  async stop(): Promise<void> {
    this.#agent?.kill("SIGTERM");
    await this.#agent?.exited;
  }

  close(): void {
    this.#agent?.kill("SIGKILL");
    this.netns.close();
  }
}

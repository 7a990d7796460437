import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentAction, CheckResult, LabApi } from "../../lab/api.ts";
import { callLab } from "../../lab/control.ts";
import { labVariable, readRecord } from "../../lab/directory.ts";
import { controlSocket } from "../../lab/init.ts";
import { enterFromHost } from "../../lab/namespaces.ts";
import { works } from "../../lab/probe/result.ts";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import { decodeSwitchTarget, type SwitchTarget } from "../../src/intent/flannel/switch-target.ts";
import { O_RDONLY, openFile } from "../../src/kernel/file.ts";
import type { Lease } from "../../src/model/network.ts";
import type { AgentStatus } from "../../src/model/status.ts";
import { openDatastore } from "../../src/store/open.ts";
import { dist, type Ran, TestLab } from "../lab/support.ts";

export interface FaultLabOptions {
  readonly nodes: number;
  readonly subnets?: number;
  readonly pods?: number;
  readonly config?: unknown;
  readonly agentFlags?: readonly string[];
  readonly bare?: boolean;
}

/** A cluster to be damaged: commands on its nodes and in its pods, what its agents say, and whether all paths work. */
export class FaultLab extends TestLab {
  static async up(options: FaultLabOptions): Promise<FaultLab> {
    const lab = new FaultLab();
    const { nodes, subnets = 2, pods = 1, config, agentFlags = [], bare = false } = options;
    const file = join(lab.parent, "net-conf.json");
    if (config !== undefined) writeFileSync(file, JSON.stringify(config));
    try {
      await lab.do(
        ...["up", `--nodes=${nodes}`, `--subnets=${subnets}`, `--pods=${pods}`],
        ...(config === undefined ? [] : [`--config=${file}`]),
        ...agentFlags.map((flag) => `--agent-flag=${flag}`),
        ...(bare ? ["--bare"] : []),
      );
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  call<M extends keyof LabApi>(method: M, params: LabApi[M]["params"]): Promise<LabApi[M]["result"]> {
    return callLab<LabApi, M>(controlSocket(this.directory), method, params);
  }

  agent(node: string, action: AgentAction): Promise<null> {
    return this.call("agent", { node, action });
  }

  async #spawn(target: string, script: string): Promise<Bun.Subprocess<"pipe", "pipe", "pipe">> {
    const handles = await this.call("enter", { target });
    const path = `${dist}:${process.env.PATH}:/usr/sbin:/sbin`;
    return Bun.spawn(enterFromHost(handles, this.#init, false, ["sh", "-c", script]), {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, PATH: path, [labVariable]: this.directory },
    });
  }

  /**
   * Leaves a command running. @returns what ends it and tells what it had printed.
   */
  async listen(target: string, command: string): Promise<() => Promise<string>> {
    const child = await this.#spawn(target, `${command} & read line; kill $!`);
    const output = new Response(child.stdout).text();
    await Bun.sleep(300); // until it has begun
    return async () => {
      await child.stdin.end();
      return output;
    };
  }

  /** On a node ("node1"), in a pod ("node1/pod-a"), on the "router" or "outside", through a shell. */
  async attempt(target: string, script: string): Promise<Ran> {
    const child = await this.#spawn(target, script);
    await child.stdin.end();
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { status: await child.exited, stdout, stderr };
  }

  /** What it printed; it must succeed. */
  async on(target: string, script: string): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(target, script);
    if (status !== 0) throw new Error(`on ${target}: ${script}\nended with ${status}: ${stdout}${stderr}`);
    return stdout;
  }

  /** An open descriptor of its network namespace. */
  async netns(target: string): Promise<number> {
    const { net } = await this.call("enter", { target });
    return openFile(`/proc/${this.#init}/fd/${net}`, O_RDONLY);
  }

  /** The node's file of that name in its own state directory, from outside. */
  disk(node: string, folder: string, name = ""): string {
    return join(this.directory, "nodes", node, folder, name);
  }

  log(node: string): string {
    return readFileSync(join(this.directory, "nodes", node, "agent.log"), "utf8");
  }

  async status(node: string): Promise<AgentStatus> {
    const { stdout, stderr } = await this.attempt(node, "twill status -o json");
    if (stdout === "") throw new Error(`no status of ${node}: ${stderr}`);
    return JSON.parse(stdout) as AgentStatus;
  }

  /** One metric of the agent by its labels ('op="route.add"'; "" without). */
  async metric(node: string, name: string): Promise<Map<string, number>> {
    const text = await this.on(node, "curl -sf http://127.0.0.1:9099/metrics");
    const found = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"));
    return new Map(Array.from(found, (match) => [match[1] ?? "", Number(match[2])]));
  }

  async kernelWrites(node: string): Promise<number> {
    return [...(await this.metric(node, "twill_kernel_writes_total")).values()].reduce((sum, value) => sum + value, 0);
  }

  get datastore(): string {
    return `embedded:${join(this.directory, "store", "cluster.db")}`;
  }

  /** As it is: what `twill config set` would refuse too. */
  async storeConfig(config: unknown): Promise<void> {
    const text = new TextEncoder().encode(typeof config === "string" ? config : JSON.stringify(config));
    const store = await openDatastore(this.datastore);
    try {
      const before = await store.get("config", "network");
      if (before === undefined) await store.create("config", "network", text);
      else await store.update("config", "network", text, before.revision);
    } finally {
      await store.close();
    }
  }

  async #stored(kind: string): Promise<Uint8Array[]> {
    const store = await openDatastore(this.datastore);
    try {
      return (await store.list(kind)).objects.map(({ value }) => value);
    } finally {
      await store.close();
    }
  }

  /** net-conf.json as it is stored. */
  async storedConfig(): Promise<string> {
    const [value] = await this.#stored("config");
    return new TextDecoder().decode(value);
  }

  /** Names of all objects of a kind. */
  async objects(kind: string): Promise<string[]> {
    const store = await openDatastore(this.datastore);
    try {
      return (await store.list(kind)).objects.map(({ name }) => name);
    } finally {
      await store.close();
    }
  }

  /** What the nodes tell each other. */
  async leases(): Promise<Lease[]> {
    return (await this.#stored("nodes")).map((value) => decodeLease(value));
  }

  /** What the cluster goes to. */
  async target(): Promise<SwitchTarget> {
    const [value] = await this.#stored("switch");
    if (value === undefined) throw new Error("there is no target");
    return decodeSwitchTarget(value, { allowExtension: true });
  }

  /** @returns one line for each path that does not work within `settle` seconds. */
  async brokenPaths(settle = 30): Promise<string[]> {
    const { results }: CheckResult = await this.call("check", { settle: settle * 1000 });
    if (results.length === 0) throw new Error("no paths to check");
    return results
      .filter((result) => !works(result))
      .map(({ from, to, family, faults }) => `${from.name} → ${to.name} (IPv${family}): ${faults.join(", ")}`);
  }

  get #init(): number {
    const pid = readRecord(this.directory)?.init?.pid;
    if (pid === undefined) throw new Error("the lab is not up");
    return pid;
  }
}

/** Asks again until it holds. @returns milliseconds that it took. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  what: string | (() => string),
  milliseconds = 60_000,
): Promise<number> {
  const start = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - start;
    if (performance.now() - start > milliseconds)
      throw new Error(`not within ${milliseconds / 1000} s: ${typeof what === "string" ? what : what()}`);
    await Bun.sleep(10);
  }
}

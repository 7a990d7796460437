import { onTestFinished } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kernelSysctls } from "../../../src/kernel/sysctl.ts";
import { TWILL_POD_ROUTE_PROTOCOL } from "../../../src/objects/route.ts";
import { callAgent } from "../../../src/rpc/client.ts";
import type { CniAnswer } from "../../../src/rpc/methods.ts";
import { type TestNetns, testNetns } from "../../../test/support/netns.ts";
import { pendingFolder, readPending } from "../../cni/pending-deletes.ts";
import { runPlugin } from "../../cni/plugin.ts";
import type { HarnessOptions } from "./harness.fixture.ts";
import type { EndpointInfo } from "./pods.ts";

export interface Report {
  readonly endpoints: readonly EndpointInfo[];
  readonly mended: readonly string[];
  readonly problems: readonly { readonly subject: string; readonly message: string }[];
  readonly calls: number;
}

/** A node in a namespace of its own, with the CNI service as a process that can be killed and started again. */
export class TestNode {
  readonly netns: TestNetns = testNetns();
  readonly folder = mkdtempSync(join(tmpdir(), "twill-cni-"));
  readonly socket = join(this.folder, "run", "agent.sock");
  #child: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;

  constructor() {
    const sysctls = kernelSysctls(this.netns.fd);
    sysctls.write(["ipv4", "ip_forward"], "1");
    sysctls.write(["ipv6", "conf", "all", "forwarding"], "1");
    this.netns.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo");
    onTestFinished(async () => {
      await this.stop();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  async start(options: Partial<HarnessOptions> = {}): Promise<void> {
    const all: HarnessOptions = {
      socket: this.socket,
      state: join(this.folder, "state"),
      subnets: ["10.244.1.0/24", "fd00:10:244:1::/64"],
      mtu: 1450,
      ...options,
    };
    const harness = join(import.meta.dir, "harness.fixture.ts");
    const child = this.netns.enter(() =>
      Bun.spawn([process.execPath, harness, JSON.stringify(all)], { stdio: ["ignore", "pipe", "inherit"] }),
    );
    this.#child = child;
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    if (value === undefined) throw new Error("the harness did not start");
  }

  /** SIGKILL, then until it is gone. */
  async stop(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.gone();
  }

  async gone(): Promise<void> {
    await this.#child?.exited;
    this.#child = undefined;
  }

  /** The plugin, run in this process: what a runtime's call does, without the start of a program. */
  cni(command: string, id: string, pod: TestNetns | undefined, more: CniOptions = {}): CniAnswer {
    const variables = this.variables(command, id, pod, more);
    return runPlugin({ ...variables, TWILL_CNI_TIMEOUT: String(more.timeout ?? 20_000) }, this.config(more));
  }

  variables(command: string, id: string, pod: TestNetns | undefined, more: CniOptions = {}): Record<string, string> {
    return {
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_IFNAME: more.ifname ?? "eth0",
      CNI_ARGS: more.args ?? "",
      CNI_PATH: "/usr/lib/cni",
      ...(pod === undefined ? {} : { CNI_NETNS: `/proc/${process.pid}/fd/${pod.fd}` }),
    };
  }

  config(more: CniOptions = {}): string {
    const { socket } = this;
    return JSON.stringify({ cniVersion: "1.1.0", name: "cbr0", type: "twill-cni", socket, ...more.config });
  }

  /** What the service has in its books. */
  report(): Report {
    try {
      callAgent("logLevel", {}, { path: this.socket, timeout: 5_000 });
    } catch (error) {
      if (error instanceof Error) return JSON.parse(error.message);
    }
    throw new Error("no report");
  }

  /** Devices and routes of pods that the node has. */
  leftovers(): string[] {
    const links = this.netns.rtnl.links().filter(({ name }) => name.startsWith("twl"));
    const routes = this.netns.rtnl.routes({ protocol: TWILL_POD_ROUTE_PROTOCOL });
    return [...links.map(({ name }) => name), ...routes.map(({ destination }) => destination as string)];
  }

  pending(): number {
    return readPending(pendingFolder(this.socket)).deletes.length;
  }
}

export interface CniOptions {
  readonly ifname?: string;
  readonly args?: string;
  readonly timeout?: number;
  readonly config?: Readonly<Record<string, unknown>>;
}

export const testNode = (): TestNode => new TestNode();

/** A pod's namespace as a runtime hands it over: `lo` down. */
export function testPod(): TestNetns {
  const pod = testNetns();
  pod.rtnl.do({ op: "link.set", index: 1, change: { up: false } });
  return pod;
}

/** Of a successful call. */
export function parsed(answer: CniAnswer): CniJson {
  if (answer.status !== 0) throw new Error(answer.stdout);
  return JSON.parse(answer.stdout);
}

export interface CniJson {
  readonly cniVersion: string;
  readonly interfaces: readonly { name: string; mac: string; mtu?: number; sandbox?: string }[];
  readonly ips: readonly { address: string; gateway?: string; interface: number; version?: string }[];
  readonly routes: readonly { dst: string; gw?: string }[];
  readonly dns?: unknown;
}

export const failure = (answer: CniAnswer): { code: number; msg: string; details?: string } => {
  if (answer.status === 0) throw new Error(`it succeeded: ${answer.stdout}`);
  return JSON.parse(answer.stdout);
};

import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prepareCluster } from "../../scripts/cluster/prepare.ts";
import { dist, type Ran } from "../lab/support.ts";

/** As Kubernetes' API gives them; only what tests read. */
export interface PodObject {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly containers: readonly { readonly image: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}
export interface NodeObject {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly podCIDR?: string };
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Anything to apply. */
export type Manifest = Readonly<Record<string, unknown>> & {
  readonly kind: string;
  readonly metadata: { readonly name: string };
};

export const isReady = ({ status }: PodObject | NodeObject): boolean =>
  (status.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True");

/**
 * Three nodes on two underlay subnets, one cluster for all test files of a run that ask for it: making one takes half a
 * minute, so each test leaves it as it found it. To write tests on one that runs already: TWILL_TEST_LAB=/its/directory.
 */
export class TestCluster {
  readonly nodes = ["node1", "node2", "node3"] as const;
  readonly directory: string;
  #files = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** The command line of `twill lab …` and its environment. */
  spawn(args: readonly string[], stdin: "ignore" | "pipe" = "ignore") {
    return Bun.spawn([join(dist, "twill"), "lab", ...args], {
      stdio: [stdin, "pipe", "pipe"],
      env: { ...process.env, TWILL_LAB: this.directory },
    });
  }

  async run(...args: string[]): Promise<Ran> {
    const child = this.spawn(args);
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { status: await child.exited, stdout, stderr };
  }

  /** `twill lab …`, which must succeed. */
  async lab(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...args);
    if (status !== 0) throw new Error(`twill lab ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
    return stdout;
  }

  on(node: string, ...command: string[]): Promise<string> {
    return this.lab("exec", node, "--", ...command);
  }

  kubectl(...args: string[]): Promise<string> {
    return this.on("control", "kubectl", ...args);
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl("get", ...args, "-o", "json"));
  }

  async pods(...args: string[]): Promise<readonly PodObject[]> {
    return (await this.get<{ readonly items: readonly PodObject[] }>("pods", ...args)).items;
  }

  async nodeObjects(): Promise<readonly NodeObject[]> {
    return (await this.get<{ readonly items: readonly NodeObject[] }>("nodes")).items;
  }

  async apply(...manifests: Manifest[]): Promise<void> {
    await this.kubectl("apply", "-f", this.#write(manifests));
  }

  /** Resolves when they are gone, their pods too. */
  async remove(...manifests: Manifest[]): Promise<void> {
    await this.kubectl("delete", "--ignore-not-found", "--cascade=foreground", "-f", this.#write(manifests));
  }

  #write(manifests: readonly Manifest[]): string {
    const file = join(this.directory, `test-${this.#files++}.json`);
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }));
    return file;
  }

  /** Nodes, the DaemonSet and what test files need besides: as it is between tests. */
  async awaitHealthy(): Promise<void> {
    await this.kubectl("-n", "twill-system", "rollout", "status", "daemonset/twill-agent", "--timeout=180s");
    await until("every node is Ready", async () => {
      const ready = (await this.nodeObjects()).filter(isReady).map(({ metadata }) => metadata.name);
      return JSON.stringify(ready.sort()) === JSON.stringify(this.nodes);
    });
  }
}

/** On a machine where everything takes ten times as long. */
export async function until(what: string, isSo: () => Promise<boolean>, seconds = 150): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so after ${seconds} s: ${what}`);
    await Bun.sleep(300);
  }
}

let making: Promise<TestCluster> | undefined;

export function testCluster(): Promise<TestCluster> {
  making ??= make();
  return making;
}

async function make(): Promise<TestCluster> {
  const running = process.env.TWILL_TEST_LAB;
  if (running !== undefined) return new TestCluster(running);
  return await upCluster();
}

/** Another one, of the test file's own, which takes it down: for what the shared one's nodes, on two links, cannot do. */
export async function upCluster(...flags: string[]): Promise<TestCluster> {
  await prepareCluster((line) => process.stderr.write(`twill: ${line}\n`));
  const parent = mkdtempSync("/tmp/twill-test-cluster-");
  const cluster = new TestCluster(join(parent, "lab"));
  removeAfterUs(cluster.directory, parent);
  await cluster.lab("up", "--kubernetes", ...flags);
  return cluster;
}

/** However we end: Bun's test runner tells nobody that it does, but what this shell reads from ends with us. */
function removeAfterUs(directory: string, parent: string): void {
  const script = 'trap "" INT TERM HUP; read -r _; "$1" lab down; rm -rf "$2"';
  Bun.spawn(["sh", "-c", script, "sh", join(dist, "twill"), parent], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    env: { ...process.env, TWILL_LAB: directory },
  }).unref();
}

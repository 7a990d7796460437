import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import { addressAt } from "../../src/base/prefix.ts";
import type { AgentAction } from "../api.ts";
import { LoggedProcess } from "../logged-process.ts";
import type { LabNode } from "../node.ts";
import { onDisk } from "../node-disk.ts";
import { ownChild } from "../orphans.ts";
import { labEnvironment } from "../settings.ts";
import { killNodeCgroup, makeNodeCgroup, nodeCgroup, removeCgroups } from "./cgroups.ts";
import { containerdConfig, runtimeSocket } from "./containerd-config.ts";
import type { ControlMachine } from "./control-machine.ts";
import { kubeletConfig, staticPodPath } from "./kubelet-config.ts";

const socketWithin = 30_000;

/** What runs on each node; people stop and start either (twill lab kubelet, twill lab containerd). */
export const nodeServices = ["containerd", "kubelet"] as const;
export type NodeService = (typeof nodeServices)[number];

/** What makes a machine of the lab a node of Kubernetes: containerd and kubelet. */
export class Kubelet {
  readonly #node: LabNode;
  readonly #control: ControlMachine;
  readonly #directory: string;
  readonly #running = new Map<NodeService, LoggedProcess>();

  constructor(node: LabNode, control: ControlMachine) {
    this.#node = node;
    this.#control = control;
    this.#directory = join(node.directory, "kubernetes");
  }

  /** On a machine that was switched on. Resolves once containerd has the images and kubelet runs, registered or not. */
  async start(images: readonly string[], signal: AbortSignal): Promise<void> {
    const { name } = this.#node.plan;
    makeNodeCgroup(this.#node.settings.directory, name);
    this.#configure();
    await this.#start("containerd", signal);
    for (const image of images) await this.#load(image);
    await this.#start("kubelet", signal);
  }

  /** SIGTERM, SIGKILL, or the same command line again. Containers live on. */
  async act(name: NodeService, action: AgentAction, signal: AbortSignal): Promise<void> {
    const running = this.#running.get(name);
    if (action === "start" && running?.isRunning === true)
      throw new TwillError("exists", "it runs already", { operation: "start", object: name });
    if (action !== "start") await running?.end(action === "kill" ? "SIGKILL" : "SIGTERM");
    if (action === "start" || action === "restart") await this.#start(name, signal);
  }

  /** Resolves once containerd's socket is there; kubelet is not waited for. */
  async #start(name: NodeService, signal: AbortSignal): Promise<void> {
    const socket = onDisk(this.#node.directory, runtimeSocket);
    if (name === "containerd") rmSync(socket, { force: true }); // a killed one leaves it
    const started = this.#spawn(name, this.#flags()[name]);
    if (name !== "containerd") return;
    await started.awaitReady(() => (existsSync(socket) ? undefined : "no socket"), socketWithin, signal);
  }

  #flags(): Readonly<Record<NodeService, readonly string[]>> {
    const { name, addresses } = this.#node.plan;
    return {
      containerd: ["--config", this.#path("containerd.toml")],
      kubelet: [
        ...[`--config=${this.#path("kubelet.yaml")}`, `--kubeconfig=${this.#path("kubeconfig")}`],
        ...[`--hostname-override=${name}`, "--root-dir=/var/lib/kubelet"],
        `--node-ip=${addresses.map(({ address }) => address).join(",")}`,
      ],
    };
  }

  /** Part of a power cut, once the processes in the node's own namespaces are dead: those in containers. */
  async vanish(): Promise<void> {
    const { directory } = this.#node.settings;
    this.#running.clear();
    await killNodeCgroup(directory, this.#node.plan.name);
    await removeCgroups(directory, this.#node.plan.name);
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  /** Written once: a node that is switched on again is the same node. */
  #configure(): void {
    if (existsSync(this.#directory)) return;
    mkdirSync(this.#directory, { mode: 0o700 });
    mkdirSync(onDisk(this.#node.directory, staticPodPath));
    const { plan, settings } = this.#node;
    const { credentials, ranges } = this.#control;
    credentials.kubeconfig(this.#path("kubeconfig"), plan.name, `/O=system:nodes/CN=system:node:${plan.name}`);
    const serving = credentials.authority.issue(`${plan.name}-serving`, `/O=system:nodes/CN=system:node:${plan.name}`, [
      ...plan.addresses.map(({ address }) => `IP:${address}`),
      `DNS:${plan.name}`,
    ]);
    writeFileSync(this.#path("containerd.toml"), containerdConfig());
    const config = kubeletConfig({
      cgroup: nodeCgroup(settings.directory, plan.name),
      clientAuthority: credentials.authority.certificate,
      serving,
      dns: ranges.services.slice(0, 1).map((range) => addressAt(range, 10n)),
    });
    writeFileSync(this.#path("kubelet.yaml"), Bun.YAML.stringify(config, null, 2));
  }

  async #load(image: string): Promise<void> {
    const command = ["ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms", image];
    const child = ownChild(
      Bun.spawn(this.#node.enter(command), {
        stdio: ["ignore", "ignore", "pipe"],
        env: this.#environment(),
      }),
    );
    const [complaint, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (status !== 0)
      throw new TwillError("unavailable", complaint.trim(), { operation: "load image", object: basename(image) });
  }

  #spawn(name: NodeService, args: readonly string[]): LoggedProcess {
    const started = new LoggedProcess({
      operation: "start",
      object: `${name} on ${this.#node.plan.name}`,
      command: this.#node.enter([name, ...args]),
      logPath: join(this.#node.directory, `${name}.log`),
      environment: this.#environment(),
    });
    this.#running.set(name, started);
    return started;
  }

  #environment(): Record<string, string> {
    return labEnvironment(this.#node.settings.directory, this.#node.settings.programs);
  }
}

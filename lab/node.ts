import { existsSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import { type Prefix, parsePrefix } from "../src/base/prefix.ts";
import { closeFile, O_RDONLY, openFile } from "../src/kernel/file.ts";
import { bindMount, shareMount, unmount } from "../src/kernel/mount.ts";
import { createNetns, inNetns } from "../src/kernel/netns.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { createUts } from "../src/kernel/uts.ts";
import type { AgentAction } from "./api.ts";
import type { RunPlugin } from "./cni-chain.ts";
import type { Kubelet } from "./kubernetes/kubelet.ts";
import { LoggedProcess } from "./logged-process.ts";
import { enterCommand, type NamespaceHandles } from "./namespaces.ts";
import { onDisk, prepareDisk } from "./node-disk.ts";
import { ownChild } from "./orphans.ts";
import { Pod, type PodIdentity } from "./pod.ts";
import { findProcesses, killProcess } from "./process.ts";
import { requireProgram } from "./programs.ts";
import { datastoreUrl, hasOwnAgents, type LabSettings, labEnvironment } from "./settings.ts";
import type { NodePlan } from "./topology.ts";
import { plugNode, resetForwarding, underlayDevice, unplugNode } from "./underlay.ts";

const conflist = "/etc/cni/net.d/10-twill.conflist";
const agentSocket = "/run/twill/agent.sock";
const subnetFile = "/run/flannel/subnet.env";
const readyWithin = 20_000;

/** A machine that is switched on: its namespaces, as descriptors that keep them, and what runs in them. */
interface Power extends NamespaceHandles {
  readonly rtnl: Rtnl;
  readonly pods: Map<string, Pod>;
  agent?: LoggedProcess;
}

/** One machine of the lab: a network, a mount and a UTS namespace, a disk, an agent, pods. */
export class LabNode {
  readonly plan: NodePlan;
  readonly directory: string;
  readonly settings: LabSettings;
  readonly #router: Rtnl;
  /** Where the machine is a node of Kubernetes. */
  kubelet?: Kubelet;
  #power: Power | undefined;

  /** Switched off. @param router a socket in the router's namespace, where the cables end. */
  constructor(plan: NodePlan, settings: LabSettings, router: Rtnl) {
    this.plan = plan;
    this.directory = join(settings.directory, "nodes", plan.name);
    this.settings = settings;
    this.#router = router;
  }

  get #isKubernetes(): boolean {
    return this.settings.kubernetes !== undefined;
  }
  get #kind(): readonly string[] {
    return this.#isKubernetes ? ["kubernetes"] : [];
  }

  get isOn(): boolean {
    return this.#power !== undefined;
  }
  get agent(): LoggedProcess | undefined {
    return this.#power?.agent;
  }
  get pods(): readonly Pod[] {
    return [...(this.#power?.pods.values() ?? [])];
  }

  /** @throws TwillError `unavailable` when it is switched off. */
  get power(): Power {
    if (this.#power !== undefined) return this.#power;
    throw new TwillError("unavailable", "the node is stopped", {
      operation: "use node",
      object: this.plan.name,
      remedy: `run "twill lab node start ${this.plan.name}"`,
    });
  }

  /** Switches it on: namespaces, disk, cable; and the agent, which is not waited for. */
  async boot(): Promise<void> {
    prepareDisk(this.directory, this.#isKubernetes);
    const shared = onDisk(this.directory, "/run/netns");
    bindMount(shared, shared);
    shareMount(shared);
    const net = createNetns();
    resetForwarding(net);
    plugNode(this.#router, this.plan, net, this.settings.mtu);
    const mount = await this.#makeMountNamespace(net);
    this.#power = { net, mount, uts: createUts(this.plan.name), rtnl: openRtnl({ netns: net }), pods: new Map() };
    if (hasOwnAgents(this.settings)) this.startAgent();
  }

  /**
   * A power cut: every process dies at once, all that was in memory is lost, the disk stays. Nobody gets to clean up or
   * to say goodbye. Nothing happens when it is off already.
   */
  async powerOff(): Promise<void> {
    const power = this.#power;
    if (power === undefined) return;
    this.#power = undefined;
    await power.agent?.end("SIGKILL");
    killInside([power, ...power.pods.values()]);
    await this.kubelet?.vanish();
    for (const pod of power.pods.values()) await pod.vanish();
    power.rtnl.close();
    unplugNode(this.#router, this.plan.name);
    for (const fd of [power.mount, power.uts, power.net]) closeFile(fd);
    unmount(onDisk(this.directory, "/run/netns"));
  }

  /** The disk too: the machine is scrapped. */
  async scrap(): Promise<void> {
    await this.powerOff();
    rmSync(this.directory, { recursive: true, force: true });
  }

  startAgent(): void {
    const power = this.power;
    if (power.agent?.isRunning === true)
      throw new TwillError("exists", "the agent runs already", { operation: "start agent", object: this.plan.name });
    rmSync(onDisk(this.directory, agentSocket), { force: true });
    const { directory, programs, agentFlags } = this.settings;
    const command = [
      requireProgram(programs, "twill-agent"),
      ...["--datastore", datastoreUrl(directory), "--node-name", this.plan.name, "--iface", underlayDevice],
      ...["--boot-id-file", join(this.directory, "boot-id"), ...agentFlags],
    ];
    power.agent = new LoggedProcess({
      operation: "start agent",
      object: this.plan.name,
      remedy: "more with --agent-flag=--log-level=debug",
      command: this.enter(command),
      logPath: join(this.directory, "agent.log"),
      environment: labEnvironment(directory, programs),
    });
  }

  /** Until pods can be added. @throws TwillError `unavailable` with the agent's last words. */
  async awaitAgent(signal: AbortSignal): Promise<void> {
    const files = [conflist, agentSocket].map((path) => onDisk(this.directory, path));
    const missing = () => {
      const absent = files.filter((path) => !existsSync(path));
      return absent.length === 0 ? undefined : `${absent.join(", ")} did not appear`;
    };
    await this.agent?.awaitReady(missing, readyWithin, signal);
  }

  async agentAction(action: AgentAction, signal: AbortSignal): Promise<void> {
    const { agent } = this.power;
    if (action === "stop" || action === "restart") await agent?.end("SIGTERM");
    if (action === "kill") await agent?.end("SIGKILL");
    if (action === "start" || action === "restart") {
      this.startAgent();
      await this.awaitAgent(signal);
    }
  }

  /** @param name for the lab's commands, on this node. */
  async addPod(name: string, identity: PodIdentity): Promise<Pod> {
    const { pods } = this.power;
    if (pods.has(name))
      throw new TwillError("exists", "there is a pod of that name", {
        operation: "add pod",
        object: `${this.plan.name}/${name}`,
        remedy: "choose another name, or delete it first",
      });
    const pod = await Pod.add({ name, node: this.plan.name, nodeDirectory: this.directory }, identity, this.#runPlugin);
    pods.set(name, pod);
    return pod;
  }

  /** @throws TwillError `not-found`, or what the plugins said. */
  async deletePod(name: string): Promise<void> {
    const { pods } = this.power;
    const pod = this.pod(name);
    pods.delete(name);
    killInside([{ net: pod.netns }]);
    await pod.delete(this.#runPlugin);
  }

  pod(name: string): Pod {
    const pod = this.power.pods.get(name);
    if (pod !== undefined) return pod;
    throw new TwillError("not-found", "there is no such pod", {
      operation: "use pod",
      object: `${this.plan.name}/${name}`,
      remedy: `there are ${this.pods.map((known) => known.name).join(", ") || "none on this node"}`,
    });
  }

  /** What the agent wrote for its users: Flannel's subnet.env. */
  podSubnets(): Prefix[] {
    const path = onDisk(this.directory, subnetFile);
    if (!existsSync(path)) return [];
    const found = readFileSync(path, "utf8").matchAll(/^FLANNEL(?:_IPV6)?_SUBNET=(\S+)$/gm);
    return Array.from(found, (match) => parsePrefix(match[1] ?? ""));
  }

  /** The command that runs `argv` on this node, called from the lab's first process. */
  enter(argv: readonly string[]): string[] {
    return enterCommand(this.power, process.pid, argv);
  }

  readonly #runPlugin: RunPlugin = async (plugin, environment, input) => {
    const child = ownChild(
      Bun.spawn(this.enter([`/opt/cni/bin/${plugin}`]), {
        stdin: new TextEncoder().encode(input),
        stdout: "pipe",
        stderr: "pipe",
        env: { ...labEnvironment(this.settings.directory, this.settings.programs), ...environment },
      }),
    );
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { status, stdout, stderr };
  };

  /** A process makes it and mounts; once our descriptor holds it, the process may go. */
  async #makeMountNamespace(netns: number): Promise<number> {
    const { directory, programs } = this.settings;
    const command = [...programs.twill, "lab", "node-init", directory, this.plan.name, ...this.#kind];
    const child = ownChild(
      inNetns(netns, () =>
        Bun.spawn(["unshare", "--mount", "--propagation", "unchanged", "--", ...command], {
          stdio: ["pipe", "pipe", "inherit"],
          env: labEnvironment(directory, programs),
        }),
      ),
    );
    const { value } = await child.stdout.getReader().read();
    if (value === undefined)
      throw new TwillError("internal", "its file system could not be made", {
        operation: "make node",
        object: this.plan.name,
        remedy: `the reason is in ${join(directory, "lab.log")}`,
      });
    const fd = openFile(`/proc/${child.pid}/ns/mnt`, O_RDONLY);
    await child.stdin.end();
    await child.exited;
    return fd;
  }
}

/** Kills what a person or a plugin started in these namespaces. Only the lab's own processes are visible here. */
function killInside(
  places: readonly { readonly net?: number; readonly netns?: number; readonly mount?: number }[],
): void {
  const own = readlinkSync("/proc/self/ns/mnt");
  const name = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);
  const net = new Set(places.flatMap((place) => [place.net, place.netns].flatMap((fd) => (fd ? [name(fd)] : []))));
  const mount = new Set(places.flatMap((place) => (place.mount ? [name(place.mount)] : [])).filter((id) => id !== own));
  const inside = findProcesses(
    (folder) => net.has(readlinkSync(`${folder}/ns/net`)) || mount.has(readlinkSync(`${folder}/ns/mnt`)),
  );
  for (const found of inside) killProcess(found);
}

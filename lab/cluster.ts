import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Address, familyOf } from "../src/base/address.ts";
import { TwillError } from "../src/base/errors.ts";
import { O_RDONLY, openFile } from "../src/kernel/file.ts";
import { createNetns } from "../src/kernel/netns.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { createUts } from "../src/kernel/uts.ts";
import { ClusterObjects } from "./cluster-objects.ts";
import { ControlMachine } from "./kubernetes/control-machine.ts";
import type { ClusterRanges } from "./kubernetes/settings.ts";
import type { NamespaceHandles } from "./namespaces.ts";
import { LabNode } from "./node.ts";
import type { ClusterView, NodeView } from "./picture.ts";
import type { Pod, PodIdentity } from "./pod.ts";
import { servePod } from "./pod-app.ts";
import type { ProbePlace } from "./probe/place.ts";
import type { Endpoint } from "./probe/result.ts";
import { datastoreUrl, hasOwnAgents, type LabSettings } from "./settings.ts";
import { checkPodName, maximumNodes, planControl, planNode, type Topology } from "./topology.ts";
import { buildRouter, isCableIn } from "./underlay.ts";

/** The router, the outside and the nodes, as they are now. This process's own network namespace is the router's. */
export class Cluster {
  readonly settings: LabSettings;
  readonly topology: Topology;
  readonly router: Rtnl = openRtnl();
  readonly #outside: number = createNetns();
  readonly #own: NamespaceHandles;
  readonly #nodes = new Map<string, LabNode>();
  /** In a lab of its own datastore; elsewhere the API server has them. */
  readonly #objects: ClusterObjects | undefined;
  #control: ControlMachine | undefined;

  constructor(settings: LabSettings, topology: Topology) {
    this.settings = settings;
    this.topology = topology;
    this.#objects = hasOwnAgents(settings) ? new ClusterObjects(datastoreUrl(settings.directory)) : undefined;
    const own = (kind: string) => openFile(`/proc/self/ns/${kind}`, O_RDONLY);
    this.#own = { mount: own("mnt"), uts: createUts("router"), net: own("net") };
    buildRouter(this.router, topology, this.#outside);
    servePod("outside", this.#outside);
    mkdirSync(join(settings.directory, "nodes"), { recursive: true });
    this.#writeHosts();
  }

  get nodes(): readonly LabNode[] {
    return [...this.#nodes.values()];
  }

  /** Of a Kubernetes lab, once it is made. */
  get control(): ControlMachine | undefined {
    return this.#control;
  }

  /** @throws TwillError `not-found`. */
  requireControl(): ControlMachine {
    if (this.#control !== undefined) return this.#control;
    throw new TwillError("not-found", "this lab has no Kubernetes", {
      operation: "use control plane",
      remedy: 'start one with "npm run cluster"',
    });
  }

  /** Switches the control plane's machine on; its programs are not started yet. */
  async addControl(ranges: ClusterRanges): Promise<ControlMachine> {
    const { kubernetes: _, ...settings } = this.settings;
    const machine = new LabNode(planControl(this.topology), { ...settings, bare: true }, this.router);
    await machine.boot();
    this.#control = new ControlMachine(machine, ranges);
    this.#writeHosts();
    return this.#control;
  }

  /** @throws TwillError `not-found`. */
  node(name: string): LabNode {
    const node = this.#nodes.get(name);
    if (node !== undefined) return node;
    throw new TwillError("not-found", "there is no such node", {
      operation: "use node",
      object: name,
      remedy: `there are ${[...this.#nodes.keys()].join(", ") || "none"}`,
    });
  }

  /** Planned and entered, still switched off. Names default to nodeN, subnets to the one with the fewest nodes. */
  enlist(name = `node${firstFree((number) => this.#nodes.has(`node${number}`))}`, subnet = this.#emptiest()): LabNode {
    if (this.#nodes.has(name)) throw taken("node", name);
    const number = firstFree((candidate) => this.nodes.some((node) => node.plan.number === candidate));
    const node = new LabNode(planNode(this.topology, name, number, subnet), this.settings, this.router);
    this.#nodes.set(name, node);
    this.#writeHosts();
    return node;
  }

  /** Its pods die with it. */
  async powerOff(name: string): Promise<void> {
    const node = this.node(name);
    const { pods } = node;
    await node.powerOff();
    for (const { identity } of pods) await this.#objects?.delete(identity);
  }

  async scrap(name: string): Promise<void> {
    await this.powerOff(name);
    await this.node(name).scrap();
    this.#nodes.delete(name);
    this.#writeHosts();
  }

  /** Scheduled first, then added, as in a cluster: its node may look for its labels. */
  async addPod(nodeName: string, wish: PodWish): Promise<Pod> {
    const { namespace = defaultNamespace, labels = {} } = wish;
    checkPodName(wish.pod);
    checkPodName(namespace);
    const node = this.node(nodeName);
    const name = wish.unique === true ? wish.pod : `${wish.pod}.${nodeName}`;
    const identity: PodIdentity = { namespace, name, labels, uid: crypto.randomUUID() };
    this.#refuseTwice(identity);
    const object = { ...identity, node: nodeName };
    await this.#objects?.put({ ...object, addresses: [] });
    try {
      const pod = await node.addPod(labName(namespace, wish.pod), identity);
      this.#writeHosts();
      await this.#objects?.put({ ...object, addresses: pod.addresses });
      return pod;
    } catch (error) {
      await this.#objects?.delete(identity);
      throw error;
    }
  }

  #refuseTwice({ namespace, name }: PodIdentity): void {
    const alike = this.nodes.flatMap((node) => (node.isOn ? node.pods : [])).map(({ identity }) => identity);
    if (alike.some((other) => other.namespace === namespace && other.name === name))
      throw taken("pod", `${namespace}/${name}`);
  }

  async deletePod(nodeName: string, name: string): Promise<void> {
    const { identity } = this.node(nodeName).pod(name);
    try {
      await this.node(nodeName).deletePod(name);
    } finally {
      await this.#objects?.delete(identity);
    }
    this.#writeHosts();
  }

  /** Where "node1", "node1/pod-a", "node1/shop/web", "router" or "outside" is. @throws TwillError `not-found`, `invalid`. */
  place(target: string): NamespaceHandles {
    const [name = "", ...inNode] = target.split("/");
    const podName = inNode.length === 0 ? undefined : inNode.join("/");
    if (inNode.length > 2)
      throw new TwillError("invalid", `"${target}" names neither a node nor a pod`, {
        remedy: "write NODE, NODE/POD, NODE/NAMESPACE/POD, router or outside",
      });
    if (target === "router") return this.#own;
    if (target === "control" && this.#control !== undefined) {
      const { mount, uts, net } = this.#control.machine.power;
      return { mount, uts, net };
    }
    if (target === "outside") return { ...this.#own, net: this.#outside };
    const node = this.node(name);
    const { mount, uts, net } = node.power;
    if (podName === undefined) return { mount, uts, net };
    const pod = node.pod(podName);
    return { mount, uts: pod.uts, net: pod.netns };
  }

  view(): ClusterView {
    return {
      outside: addressesOf(this.topology.outside),
      mtu: this.topology.mtu,
      subnets: this.topology.subnets.map((subnet) => ({
        name: subnet.name,
        prefixes: subnet.prefixes,
        nodes: this.nodes.filter((node) => node.plan.subnet === subnet).map((node) => this.#viewNode(node)),
      })),
    };
  }

  #viewNode(node: LabNode): NodeView {
    const trouble: string[] = [];
    if (!node.isOn) trouble.push("stopped");
    else if (hasOwnAgents(this.settings) && node.agent?.isRunning !== true) trouble.push("agent not running");
    if (node.isOn && !isCableIn(this.router, node.plan.name)) trouble.push("link down");
    return {
      name: node.plan.name,
      addresses: addressesOf(node.plan),
      podSubnets: node.podSubnets(),
      trouble,
      pods: node.pods.map(({ name, addresses }) => ({ name, addresses })),
    };
  }

  /** Everybody who can be probed: nodes that are switched on, their pods, the outside. */
  probePlaces(): ProbePlace[] {
    const places = this.nodes
      .filter((node) => node.isOn)
      .flatMap((node) => {
        const { net, rtnl } = node.power;
        const at = { node: node.plan.name, subnet: node.plan.subnet.name };
        const own = place({ ...at, name: at.node, kind: "node" }, addressesOf(node.plan), net, rtnl);
        const pods = node.pods.map((pod) =>
          place({ ...at, name: `${at.node}/${pod.name}`, kind: "pod" }, pod.addresses, pod.netns, rtnl),
        );
        return [own, ...pods];
      });
    const beyond = { name: "outside", kind: "outside", node: "outside", subnet: "outside" } as const;
    return [...places, place(beyond, addressesOf(this.topology.outside), this.#outside, this.router)];
  }

  /** The running node with the fewest pods. @throws TwillError `unavailable`. */
  get leastLoaded(): string {
    const running = this.nodes.filter((node) => node.isOn).sort((a, b) => a.pods.length - b.pods.length);
    const [first] = running;
    if (first !== undefined) return first.plan.name;
    throw new TwillError("unavailable", "no node is running", { operation: "add pod", object: "lab" });
  }

  #emptiest(): number {
    const load = (subnet: number) => this.nodes.filter((node) => node.plan.subnet.number === subnet).length;
    const numbers = this.topology.subnets.map(({ number }) => number);
    return numbers.sort((a, b) => load(a) - load(b))[0] ?? 1;
  }

  /** Names of all nodes and pods, for people. Written in place: the file is mounted, and a new one would not be seen. */
  #writeHosts(): void {
    const lines = [
      "127.0.0.1 localhost",
      "::1 localhost",
      ...addressesOf(this.topology.outside).map((address) => `${address} outside`),
      ...(this.#control === undefined ? [] : addressesOf(this.#control.machine.plan)).map(
        (address) => `${address} control`,
      ),
      ...this.nodes.flatMap((node) => [
        ...addressesOf(node.plan).map((address) => `${address} ${node.plan.name}`),
        ...node.pods.flatMap((pod) => pod.addresses.map((address) => `${address} ${hostName(pod, node.plan.name)}`)),
      ]),
    ];
    writeFileSync(join(this.settings.directory, "hosts"), `${lines.join("\n")}\n`);
  }
}

function place(
  endpoint: Omit<Endpoint, "addresses">,
  addresses: readonly Address[],
  netns: number,
  counters: Rtnl,
): ProbePlace {
  const byFamily = Object.fromEntries(addresses.map((address) => [familyOf(address), address]));
  return { ...endpoint, addresses: byFamily, netns, counters };
}

const defaultNamespace = "default";

export interface PodWish {
  readonly pod: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `pod` is its whole name; else the node's is put behind it, so that each node may have a pod-a. */
  readonly unique?: boolean;
}

const labName = (namespace: string, pod: string): string =>
  namespace === defaultNamespace ? pod : `${namespace}/${pod}`;

/** "pod-a.node1"; "web.shop" as a name of its own. */
const hostName = ({ name, identity }: Pod, node: string): string =>
  name.includes("/") ? `${identity.name}.${identity.namespace}` : `${name}.${node}`;

const addressesOf = (host: { readonly addresses: readonly { readonly address: Address }[] }): Address[] =>
  host.addresses.map(({ address }) => address);

function firstFree(isUsed: (number: number) => boolean): number {
  let number = 1;
  while (isUsed(number) && number <= maximumNodes) number++;
  return number;
}

const taken = (what: string, name: string): TwillError =>
  new TwillError("exists", `there is a ${what} of that name`, {
    operation: `add ${what}`,
    object: name,
    remedy: "choose another name, or delete it first",
  });

import type { Family } from "../src/base/address.ts";
import { isCode, TwillError } from "../src/base/errors.ts";
import { parseNetConf } from "../src/intent/flannel/net-conf.ts";
import { inNetns } from "../src/kernel/netns.ts";
import type { ClusterNetwork } from "../src/model/network.ts";
import { openDatastore } from "../src/store/open.ts";
import type { CheckResult, LabApi, LabStatus, UpParams } from "./api.ts";
import { Cluster, type PodWish } from "./cluster.ts";
import type { Methods, Progress } from "./control.ts";
import { installTwill } from "./kubernetes/install-twill.ts";
import { withKubernetesPods } from "./kubernetes/pods.ts";
import { clusterRanges } from "./kubernetes/settings.ts";
import { actOnService, prepareKubernetes, startKubelet, startKubernetes } from "./kubernetes/start.ts";
import type { LabNode } from "./node.ts";
import { ownChild } from "./orphans.ts";
import type { Pod } from "./pod.ts";
import { checkPairs } from "./probe/check.ts";
import type { RunInPod } from "./probe/loopback.ts";
import type { Programs } from "./programs.ts";
import { datastoreUrl, hasOwnAgents, labEnvironment } from "./settings.ts";
import { planTopology, spread } from "./topology.ts";
import { setCable } from "./underlay.ts";

/** What the lab does when it is asked (api.ts). All of it lives in the namespaces of the process that holds this object. */
export class Lab {
  readonly #directory: string;
  readonly #programs: Programs;
  #built: Cluster | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string, programs: Programs) {
    this.#directory = directory;
    this.#programs = programs;
  }

  readonly methods: Methods<LabApi> = {
    up: (params, progress, signal) => this.#inTurn(() => this.#up(params, progress, signal)),
    status: () => this.#status(),
    check: ({ settle }, progress, signal) => this.#inTurn(() => this.#check(settle, progress, signal)),
    enter: ({ target }) => this.#cluster.place(target),
    addPod: ({ node, ...wish }) =>
      this.#inTurn(async () => {
        const place = node ?? this.#cluster.leastLoaded;
        const { name, addresses } = await this.#addPod(place, wish);
        return { node: place, pod: name, addresses };
      }),
    deletePod: ({ node, pod }) => this.#inTurn(() => this.#cluster.deletePod(node, pod)).then(nothing),
    addNode: (params, _, signal) => this.#inTurn(() => this.#addNode(params, signal)),
    stopNode: ({ name }) => this.#inTurn(() => this.#cluster.powerOff(name)).then(nothing),
    startNode: ({ name }, _, signal) => this.#inTurn(() => this.#startNode(name, signal)).then(nothing),
    deleteNode: ({ name }) => this.#inTurn(() => this.#cluster.scrap(name)).then(nothing),
    agent: ({ node, action }, _, signal) =>
      this.#inTurn(() => this.#cluster.node(node).agentAction(action, signal)).then(nothing),
    component: ({ name, action }, _, signal) =>
      this.#inTurn(() => this.#cluster.requireControl().act(name, action, signal)).then(nothing),
    nodeService: ({ node, name, action }, _, signal) =>
      this.#inTurn(() => actOnService(this.#cluster, this.#cluster.node(node), name, action, signal)).then(nothing),
    link: ({ node, up }) =>
      this.#inTurn(async () => {
        void this.#cluster.node(node).power; // refuses a node that is switched off
        setCable(this.#cluster.router, node, up);
      }).then(nothing),
  };

  get #cluster(): Cluster {
    if (this.#built !== undefined) return this.#built;
    throw new TwillError("unavailable", "the lab is still being made", { remedy: "wait until it is up" });
  }

  /** Calls that change the lab wait for each other. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #up(params: UpParams, progress: Progress, signal: AbortSignal): Promise<null> {
    const network = parseNetConf(params.config, { source: params.configName, allowExtension: true });
    const families = familiesOf(network);
    const avoid = [network.ipv4?.network, network.ipv6?.network].filter((prefix) => prefix !== undefined);
    const topology = planTopology({ subnets: params.subnets, mtu: params.mtu, families, avoid });
    const places = spread(params.nodes, params.subnets);

    progress(`making a router, ${params.subnets} subnets and ${params.nodes} nodes`);
    const { mtu, agentFlags, bare, kubernetes } = params;
    const settings = {
      directory: this.#directory,
      programs: this.#programs,
      families,
      mtu,
      agentFlags,
      bare,
      ...(kubernetes && { kubernetes }),
    };
    if (kubernetes !== undefined) prepareKubernetes(this.#directory, kubernetes);
    this.#built = new Cluster(settings, topology);
    if (hasOwnAgents(settings)) await this.#storeNetwork(params.config);
    const nodes = places.map((subnet) => this.#cluster.enlist(undefined, subnet));
    await Promise.all(nodes.map((node) => node.boot()));
    if (kubernetes !== undefined) {
      await startKubernetes(this.#cluster, clusterRanges(network), progress, signal);
      if (!bare) await installTwill(this.#cluster, params.config, progress, signal);
    }
    if (!hasOwnAgents(settings)) return null;

    progress(`waiting for ${nodes.length} agents`);
    await Promise.all(nodes.map((node) => node.awaitAgent(signal)));
    let added = 0;
    const total = nodes.length * params.pods;
    await Promise.all(
      nodes.map((node) => this.#addPods(node, params.pods, () => progress(`adding pods: ${++added} of ${total}`))),
    );
    return null;
  }

  /** The text as it was written: what people see in the datastore is what they wrote. */
  async #storeNetwork(config: string): Promise<void> {
    const store = await openDatastore(datastoreUrl(this.#directory));
    try {
      await store.create("config", "network", new TextEncoder().encode(config));
    } finally {
      await store.close();
    }
  }

  async #addNode(params: LabApi["addNode"]["params"], signal: AbortSignal): Promise<{ name: string }> {
    const node = this.#cluster.enlist(params.name, params.subnet);
    const { name } = node.plan;
    try {
      await node.boot();
      await startKubelet(this.#cluster, node, signal);
      await node.awaitAgent(signal);
      if (hasOwnAgents(this.#cluster.settings)) await this.#addPods(node, params.pods, () => {});
    } catch (error) {
      await this.#cluster.scrap(name);
      throw error;
    }
    return { name };
  }

  async #startNode(name: string, signal: AbortSignal): Promise<void> {
    const node = this.#cluster.node(name);
    if (node.isOn) throw new TwillError("exists", "the node runs already", { operation: "start node", object: name });
    await node.boot();
    await startKubelet(this.#cluster, node, signal);
    await node.awaitAgent(signal);
  }

  /** pod-a, the web server, and its clients pod-b, …, pod-z, pod-27, … one after the other, as kubelet adds the pods of one node. */
  async #addPods(node: LabNode, count: number, added: () => void): Promise<void> {
    for (let index = 0; index < count; index++) {
      const suffix = index < 26 ? String.fromCharCode(97 + index) : String(index + 1);
      const pod = `pod-${suffix}`;
      await this.#addPod(node.plan.name, { pod, labels: { app: pod, role: index === 0 ? "web" : "client" } });
      added();
    }
  }

  /** CNI's error 11 means "try again later", and kubelet does. */
  async #addPod(node: string, wish: PodWish): Promise<Pod> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#cluster.addPod(node, wish);
      } catch (error) {
        if (!isCode(error, "unavailable") || attempt === 20) throw error;
        await Bun.sleep(100);
      }
    }
  }

  #status(): LabStatus {
    return { families: this.#cluster.settings.families, view: this.#cluster.view() };
  }

  async #check(settle: number, progress: Progress, signal: AbortSignal): Promise<CheckResult> {
    const { families } = this.#cluster.settings;
    const options = { families, settle, run: this.#runInPod };
    const results = await withKubernetesPods(this.#cluster, (pods) =>
      checkPairs([...this.#cluster.probePlaces(), ...pods], options, progress, signal),
    );
    return { ...this.#status(), results };
  }

  readonly #runInPod: RunInPod = (place, args) => {
    const command = [...this.#programs.twill, "lab", ...args];
    const env = labEnvironment(this.#directory, this.#programs);
    return inNetns(place.netns, () => ownChild(Bun.spawn(command, { stdio: ["pipe", "pipe", "inherit"], env })));
  };
}

const nothing = (): null => null;

const familiesOf = (network: ClusterNetwork): Family[] => [
  ...(network.ipv4 === undefined ? [] : [4 as const]),
  ...(network.ipv6 === undefined ? [] : [6 as const]),
];

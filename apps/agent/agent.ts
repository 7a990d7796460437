import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backendOf } from "../../src/backend/registry.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { TwillError } from "../../src/base/errors.ts";
import type { RootLog } from "../../src/base/log.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Random } from "../../src/base/random.ts";
import { Compiler } from "../../src/compile/compiler.ts";
import { decodeLease, encodeLease } from "../../src/intent/flannel/lease.ts";
import type { Ethtool } from "../../src/kernel/ethtool.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import type { Poller } from "../../src/kernel/poller.ts";
import { openPresenceSocket } from "../../src/kernel/presence-socket.ts";
import type { Rtnl, RtnlEvent } from "../../src/kernel/rtnl.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { ConfigId } from "../../src/model/live-switch.ts";
import type { ClusterNetwork, Lease } from "../../src/model/network.ts";
import type { LocalNode, Underlay } from "../../src/model/node.ts";
import { type NodeState, type OwnState, problemsOf } from "../../src/model/node-state.ts";
import type { ChangeStatus } from "../../src/model/status.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { configPlace } from "../../src/store/kubernetes/url.ts";
import { Reflector } from "../../src/store/reflector.ts";
import { NODES } from "../kinds.ts";
import { Advertiser } from "./advertiser.ts";
import type { Caches } from "./caches.ts";
import { missingCapabilities } from "./capabilities.ts";
import { Dataplane } from "./dataplane.ts";
import { ExtensionRunner } from "./extension-runner.ts";
import { FirewallWatch } from "./firewall-watch.ts";
import type { NodeFlows } from "./flows/node-flows.ts";
import type { KubernetesNode } from "./kubernetes/kubernetes-node.ts";
import { LocalNodeFinder } from "./local-node.ts";
import { FileNetwork, type NetworkSource, storedNetwork } from "./network-source.ts";
import type { NodeMemory } from "./node-file.ts";
import { NodeFiles } from "./node-files.ts";
import type { AgentOptions } from "./options.ts";
import { ownLease } from "./own-lease.ts";
import type { Peers } from "./peers.ts";
import type { Pods } from "./pods.ts";
import type { NodePolicy } from "./policy/node-policy.ts";
import { problemOf, undecodableProblems } from "./problem-of.ts";
import { StoreHealth } from "./store-health.ts";
import { unconfirmed } from "./switch/confirmation.ts";
import { offeredLeases } from "./switch/offered-leases.ts";
import { PositionFile } from "./switch/position-file.ts";
import { type InForce, Switcher } from "./switch/switcher.ts";
import { SysctlLedger } from "./sysctl-ledger.ts";
import { UnderlayFinder } from "./underlay-finder.ts";

export interface AgentParts {
  readonly options: AgentOptions;
  readonly memory: NodeMemory;
  readonly store: Datastore;
  /** When the datastore is Kubernetes'. */
  readonly kubernetes?: KubernetesNode;
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  readonly ethtool: Ethtool;
  readonly poller: Poller;
  readonly pods: Pods;
  readonly peers: Peers;
  readonly caches: Caches;
  /** Absent: no policy is enforced. */
  readonly policy?: NodePolicy;
  readonly flows: NodeFlows;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: RootLog;
}

const day = 24 * 3600;
const renewEveryMs = 10 * 60_000;
/** After a look at the kernel that found it otherwise. */
const unconfirmedMs = 500;

const underlayFilter = (device: string) => ["ipv4", "conf", device, "rp_filter"];
const looseFilter = "2";

const podMtuOf = ({ podMtu, podSendMtu }: OwnState) => ({
  podMtu,
  ...(podSendMtu === undefined ? {} : { podSendMtu }),
});

/**
 * One node's agent: from what the datastore and the kernel say to what the kernel should be. Every input only marks the
 * state dirty; `#update` then goes through the whole way once, synchronously, from the inputs as they are at that moment.
 */
export class Agent {
  readonly #parts: AgentParts;
  readonly #source: NetworkSource;
  readonly #switcher: Switcher;
  readonly #sysctls: SysctlLedger;
  readonly #nodes: Reflector<Lease>;
  readonly #compiler: Compiler;
  readonly #local: LocalNodeFinder;
  readonly #advertiser: Advertiser;
  readonly #dataplane: Dataplane;
  readonly #firewall: FirewallWatch;
  readonly #underlay: UnderlayFinder;
  readonly #files: NodeFiles;
  readonly #health: StoreHealth;
  readonly #extension: ExtensionRunner | undefined;
  readonly #caches: Caches;
  readonly #timer: ReturnType<typeof setInterval>;
  #dirty = false;
  #stopped = false;
  #sendsBy: ConfigId | undefined;
  #waitingFor: readonly string[] = ["the first look at the cluster"];
  /** The kernel would refuse one write after the other; this says why, once. */
  readonly #lacking = missingCapabilities();

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { options, store, clock, random, log } = parts;
    const update = () => this.#mark();
    const sysctls = kernelSysctls(undefined, options.sysctlDir);
    this.#health = new StoreHealth(clock, log);
    this.#files = new NodeFiles(options, log);
    this.#underlay = new UnderlayFinder({ rtnl: parts.rtnl, ethtool: parts.ethtool, sysctls }, options, log);
    this.#caches = parts.caches;

    const place = configPlace(options.datastore);
    const named = place === undefined ? {} : { name: place };
    const sourceOptions = {
      ...named,
      allowExtension: options.allowExtensionCommands,
      onChange: update,
      clock,
      random,
      log,
    };
    this.#source =
      options.netConfigPath === undefined
        ? storedNetwork(store, this.#caches.config, sourceOptions)
        : new FileNetwork(options.netConfigPath, join(options.stateDir, "net-conf.last-good.json"), sourceOptions);
    this.#nodes = new Reflector<Lease>({
      store,
      kind: NODES,
      decode: (value, name) => decodeLease(value, `node ${name}`),
      clock,
      random,
      log,
      cache: this.#caches.nodes,
      onChange: (deltas) => {
        for (const { name } of deltas) {
          this.#compiler.mark(name);
          this.#switcher.heard(name);
          parts.policy?.nodes.setLease(name, this.#nodes.get(name));
        }
        if (deltas.some((delta) => delta.name === options.nodeName)) this.#advertiser.recheck();
        this.#mark();
      },
      onState: (state, error) => {
        this.#health.onState(state, error);
        this.#mark();
      },
      onUndecodable: update,
    });
    this.#switcher = new Switcher({
      store,
      source: this.#source,
      leases: this.#nodes,
      node: options.nodeName,
      boot: readFileSync(options.bootIdFile, "utf8").trim(),
      file: new PositionFile(join(options.stateDir, "position.json"), options.allowExtensionCommands),
      allowExtension: options.allowExtensionCommands,
      cache: this.#caches.switch,
      openPresence: openPresenceSocket,
      clock,
      random,
      log,
      onChange: update,
    });
    this.#compiler = new Compiler(offeredLeases(this.#nodes, () => this.#switcher.inForce?.id));
    this.#local = new LocalNodeFinder(parts, this.#source, {
      underlay: this.#underlay,
      files: this.#files,
      preStartup: (command) => this.#extension?.preStartup(command),
      onChange: update,
    });
    this.#advertiser = new Advertiser({
      store,
      encode: encodeLease,
      decode: (name, value) => decodeLease(value, `node ${name}`),
      ttlSeconds: day,
      isOurs: () => this.#kubeletIsHere(),
      clock,
      log,
      onChange: update,
    });
    parts.kubernetes?.nodes.subscribe(() => {
      this.#advertiser.recheck();
      this.#mark();
    });
    this.#sysctls = new SysctlLedger(sysctls, join(options.stateDir, "sysctls.json"));
    void parts.flows.countTraffic(this.#sysctls);
    this.#dataplane = new Dataplane({
      rtnl: parts.rtnl,
      nft: parts.nft,
      ethtool: parts.ethtool,
      poller: parts.poller,
      sysctls: this.#sysctls,
      ...(parts.policy && { policy: parts.policy.tableOptions }),
      clock,
      log,
      onEvent: (event) => this.#onKernelEvent(event),
      onChange: update,
    });
    this.#firewall = new FirewallWatch(parts.nft, log, update);
    this.#extension = options.allowExtensionCommands ? new ExtensionRunner(log, update) : undefined;
    this.#timer = setInterval(() => void this.#renew(), renewEveryMs);
    this.#mark();
  }

  /** What keeps pods from being added. Empty: nothing. */
  get waitingFor(): readonly string[] {
    return this.#waitingFor;
  }
  get state(): NodeState | undefined {
    return this.#compiler.state;
  }
  get underlay(): Underlay | undefined {
    return this.#underlay.found;
  }
  get kubernetes(): KubernetesNode | undefined {
    return this.#parts.kubernetes;
  }
  /** For people: where the node's subnets come from. */
  get subnetSource(): string {
    return this.#local.subnets.name;
  }
  get source(): NetworkSource {
    return this.#source;
  }
  /** By which the node works; what is written may be another, on its way or refused. */
  get network(): ClusterNetwork | undefined {
    return this.#switcher.inForce?.sends ?? this.#switcher.preview ?? this.#source.network;
  }
  get change(): ChangeStatus | undefined {
    return this.#switcher.status;
  }
  get policy(): NodePolicy | undefined {
    return this.#parts.policy;
  }
  get dataplane(): Dataplane {
    return this.#dataplane;
  }
  get leases(): ReadonlyMap<string, Lease> {
    return this.#nodes.objects();
  }
  get storeHealth(): StoreHealth {
    return this.#health;
  }

  get problems(): readonly Problem[] {
    const rejected = this.#source.rejected;
    return [
      ...(rejected === undefined ? [] : [rejectedProblem(this.#source, rejected)]),
      ...this.#source.warnings,
      ...this.#switcher.problems,
      ...(this.#underlay.error === undefined ? [] : [problemOf("underlay", this.#underlay.error, "UnderlayMissing")]),
      ...undecodableProblems(this.#nodes.undecodable),
      ...this.#local.subnets.problems,
      ...this.#advertiser.problems,
      ...(this.state === undefined ? [] : problemsOf(this.state)),
      ...this.#dataplane.problems,
      ...this.#firewall.problems(this.state?.own.masquerade?.networks ?? []),
      ...(this.#extension?.problems ?? []),
      ...this.#parts.pods.problems,
      ...(this.#parts.policy?.problems ?? []),
      ...this.#parts.flows.problems,
      ...this.#files.problems,
      ...(this.#parts.kubernetes?.problems ?? []),
    ];
  }

  /** The kernel stays as it is: pods keep talking. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#dataplane.stop();
    this.#firewall.stop();
    this.#local.subnets.stop();
    this.#advertiser.stop();
    this.#parts.kubernetes?.stop();
    await Promise.all([
      this.#nodes.close(),
      this.#source.close(),
      this.#switcher.stop(),
      this.#extension?.idle(),
      this.#parts.policy?.stop(),
      this.#parts.flows.stop(),
    ]);
    await this.#caches.flush();
    await this.#parts.store.close();
  }

  /** Something changed that the agent does not watch itself. */
  refresh(): void {
    this.#mark();
  }

  #mark(): void {
    if (this.#dirty || this.#stopped) return;
    this.#dirty = true;
    setImmediate(() => {
      this.#dirty = false;
      if (!this.#stopped) this.#update();
    });
  }

  #update(): void {
    const waiting = [...this.#lacking];
    if (this.#parts.options.attachment === "foreign") {
      this.#enforce(waiting);
      return;
    }
    this.#switcher.update();
    const { inForce, preview } = this.#switcher;
    if (inForce !== undefined) this.#advance(inForce, waiting);
    else if (preview !== undefined) this.#join(preview, waiting);
    else waiting.push(`a valid network configuration from ${this.#source.name}`);
    waiting.push(...(this.#parts.policy?.waitingFor ?? []));
    if (waiting.length === 0 && !this.#caches.areKept()) waiting.push("what the agent knows to be kept on the disk");
    this.#waitingFor = waiting;
    this.#parts.pods.setReady(waiting);
    if (waiting.length === 0) this.#files.installConflist();
    this.#parts.kubernetes?.update({
      waitingFor: waiting,
      problems: this.problems.filter(({ subject }) => !this.#isOthers(subject)),
      subnets: this.#local.subnets.subnets,
      backend: (inForce?.sends ?? preview)?.backend.type,
    });
  }

  /** On another pod network: policy, and nothing else of the node's. */
  #enforce(waiting: string[]): void {
    if (!this.#dataplane.isStarted) {
      this.#dataplane.startWithPolicyAlone();
      this.#parts.policy?.rewrite();
    }
    waiting.push(...(this.#parts.policy?.waitingFor ?? []));
    if (waiting.length === 0 && !this.#caches.areKept()) waiting.push("what the agent knows to be kept on the disk");
    this.#waitingFor = waiting;
  }

  /** The problem is another node's, and its own agent's to tell the cluster. */
  #isOthers(subject: string): boolean {
    const name = subject.replace(/^node /, "");
    if (name === this.#parts.options.nodeName) return false;
    return subject === "nodes" || this.#nodes.get(name) !== undefined || this.#nodes.undecodable.has(name);
  }

  /** A node that has not joined the cluster tells the others that it is there, and does nothing else. */
  #join(network: ClusterNetwork, waiting: string[]): void {
    waiting.push("the other nodes to know of this one");
    const local = this.#local.find([network], waiting);
    if (local !== undefined) this.#advertise(network, local);
  }

  /** From the configuration to the kernel; each return says in `waiting` what is missing. */
  #advance({ sends: network, receives, id }: InForce, waiting: string[]): void {
    const { options, pods, peers } = this.#parts;
    const local = this.#local.find([network, ...receives], waiting);
    if (local === undefined) return;
    this.#advertise(network, local);

    if (this.#nodes.state === "starting") return void waiting.push("the list of nodes from the datastore");
    if (this.#sendsBy !== id) for (const name of this.#nodes.objects().keys()) this.#compiler.mark(name);
    this.#sendsBy = id;
    const { state, change } = this.#compiler.update({ network, receives, local, masquerade: options.ipMasq });
    // What pods may send shrinks before any route does, and grows after.
    const { subnets, draining } = this.#local.subnets;
    pods.setNetwork({ subnets, draining, ...podMtuOf(state.own) });
    if (this.#local.hasDrained()) void this.#renew();
    const complete = this.#nodes.state !== "cached";
    const tell = this.#switcher.isUnacknowledged;
    const wasStarted = this.#dataplane.isStarted;
    const isNews = change.own !== undefined || change.peers.size > 0;
    if (tell && complete && !isNews && this.#dataplane.isWritten) this.#acknowledge(state, network, local);
    else this.#dataplane.change(change, { complete, tell });
    if (!wasStarted) this.#parts.policy?.rewrite();
    if (network.backend.type === "extension") this.#extension?.change(change);
    peers.change(change, state);
    this.#files.writeSubnetEnv(network, state.own);
    if (!this.#dataplane.synced) waiting.push("the kernel's state to be brought up to date");
  }

  /** Tells the others where this node stands, once its kernel is known to be so. */
  #acknowledge(state: NodeState, network: ClusterNetwork, local: LocalNode): void {
    const reason = unconfirmed(state, this.#parts.rtnl, this.#sysctls);
    if (reason !== undefined) {
      this.#parts.log.debug("the kernel is not at the node's position yet", { reason });
      setTimeout(() => this.#mark(), unconfirmedMs);
      return;
    }
    this.#switcher.acknowledge();
    if (this.#switcher.isSettled) this.#sysctls.giveBack(underlayFilter(local.underlay.device), looseFilter);
    this.#advertise(network, local);
  }

  #advertise(network: ClusterNetwork, local: LocalNode): void {
    const { options, memory, kubernetes } = this.#parts;
    // Before the Node is known, so is not the address that its administrator wants.
    if (kubernetes !== undefined && !kubernetes.nodes.known) return;
    const standing = this.#switcher.standing((each) => backendOf(each.backend).advertise(each.backend, each, local));
    const lease = ownLease(network, local, options, memory, kubernetes?.nodes.own?.overwritten);
    this.#advertiser.set(standing === undefined ? lease : { ...lease, standing });
  }

  /** The kubelet that keeps our Node runs on this machine: whoever wrote it before was another machine of its name. */
  #kubeletIsHere(): boolean {
    const kubelet = this.#parts.kubernetes?.nodes.own?.kubelet ?? [];
    return kubelet.length > 0 && this.#parts.rtnl.addresses().some(({ address }) => kubelet.includes(address));
  }

  #onKernelEvent(event: RtnlEvent): void {
    this.#parts.pods.onKernelEvent(event);
    if (event.type === "address" || event.type === "overrun") this.#parts.policy?.nodes.ownAddressesChanged();
    if (this.#underlay.onEvent(event)) this.#mark();
  }

  async #renew(): Promise<void> {
    try {
      await this.#advertiser.renew();
      await this.#local.subnets.releaseSurplus();
    } catch (error) {
      this.#parts.log.warn("renewal failed; it is tried again", { error });
    }
  }
}

const rejectedProblem = (source: NetworkSource, error: TwillError): Problem => ({
  severity: "error",
  subject: "network configuration",
  reason: "ConfigurationInvalid",
  message: `the newest one in ${source.name} is invalid${source.network === undefined ? "" : "; the last good one stays in force"}: ${error.describe()}`,
  remedy: "mend it; the agents follow by themselves",
});

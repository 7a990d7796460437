import { join } from "node:path";
import { backendOf } from "../../src/backend/registry.ts";
import type { Clock } from "../../src/base/clock.ts";
import { isCode, type TwillError } from "../../src/base/errors.ts";
import type { RootLog } from "../../src/base/log.ts";
import type { Mac } from "../../src/base/mac.ts";
import { covers } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Random } from "../../src/base/random.ts";
import { compile } from "../../src/compile/compile.ts";
import { decodeLease, encodeLease } from "../../src/intent/flannel/lease.ts";
import { formatSubnetEnv } from "../../src/intent/flannel/subnet-env.ts";
import type { Ethtool } from "../../src/kernel/ethtool.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import type { Poller } from "../../src/kernel/poller.ts";
import type { Rtnl, RtnlEvent } from "../../src/kernel/rtnl.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { ClusterNetwork, Lease, NetworkRange } from "../../src/model/network.ts";
import type { LocalNode, Underlay } from "../../src/model/node.ts";
import type { NodeState } from "../../src/model/node-state.ts";
import { rangeList } from "../../src/model/ranges.ts";
import { mainTable, TWILL_POD_ROUTE_PROTOCOL, TWILL_ROUTE_PROTOCOL } from "../../src/objects/route.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { Reflector } from "../../src/store/reflector.ts";
import { SnapshotFile } from "../../src/store/snapshot.ts";
import { Advertiser, NODES } from "./advertiser.ts";
import { conflist, conflistName } from "./conflist.ts";
import { Dataplane } from "./dataplane.ts";
import { ExtensionRunner } from "./extension-runner.ts";
import { makeFolder, writeIfChanged } from "./files.ts";
import { FirewallWatch } from "./firewall-watch.ts";
import { FileNetwork, type NetworkSource, storedNetwork } from "./network-source.ts";
import type { NodeMemory } from "./node-file.ts";
import type { AgentOptions } from "./options.ts";
import type { Peers } from "./peers.ts";
import type { Pods } from "./pods.ts";
import { Subnets } from "./subnets.ts";
import { SysctlLedger } from "./sysctl-ledger.ts";
import { findUnderlay, sameUnderlay } from "./underlay.ts";

export interface AgentParts {
  readonly options: AgentOptions;
  readonly memory: NodeMemory;
  readonly store: Datastore;
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  readonly ethtool: Ethtool;
  readonly poller: Poller;
  readonly pods: Pods;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: RootLog;
}

const day = 24 * 3600;
const renewEveryMs = 10 * 60_000;

/**
 * One node's agent: from what the datastore and the kernel say to what the kernel should be. Every input only marks the
 * state dirty; `#update` then goes through the whole way once, synchronously, from the inputs as they are at that moment.
 */
export class Agent {
  readonly #parts: AgentParts;
  readonly #source: NetworkSource;
  readonly #nodes: Reflector<Lease>;
  readonly #subnets: Subnets;
  readonly #advertiser: Advertiser;
  readonly #dataplane: Dataplane;
  readonly #firewall: FirewallWatch;
  readonly #extension: ExtensionRunner | undefined;
  readonly #caches: readonly SnapshotFile[];
  readonly #timer: ReturnType<typeof setInterval>;
  #dirty = false;
  #stopped = false;
  #underlayStale = true;
  #underlay: Underlay | undefined;
  #underlayError: TwillError | undefined;
  #claimedFor: ClusterNetwork | undefined;
  #state: NodeState | undefined;
  #waitingFor: readonly string[] = ["the first look at the cluster"];
  #preStartup: { readonly command: string; output: string | undefined } | undefined;
  #storeAwaySince: number | undefined;
  #storeError: TwillError | undefined;
  #fileProblems: Problem[] = [];

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { options, memory, store, clock, random, log, pods } = parts;
    const update = () => this.#mark();
    const cache = (kind: string, delay?: { readonly quiet: number }) =>
      new SnapshotFile(join(options.stateDir, "cache", `${kind}.snapshot`), { clock, log, ...delay });
    makeFolder(join(options.stateDir, "cache"), 0o700);
    // The configuration is kept at once: it changes rarely, and the last good one is needed when the next is not.
    const [nodesCache, configCache] = [cache("nodes"), cache("config", { quiet: 0 })];
    this.#caches = [nodesCache, configCache];

    const sourceOptions = { allowExtension: options.allowExtensionCommands, onChange: update, clock, random, log };
    this.#source =
      options.netConfigPath === undefined
        ? storedNetwork(store, configCache, sourceOptions)
        : new FileNetwork(options.netConfigPath, join(options.stateDir, "net-conf.last-good.json"), sourceOptions);
    this.#nodes = new Reflector<Lease>({
      store,
      kind: NODES,
      decode: (value, name) => decodeLease(value, `node ${name}`),
      clock,
      random,
      log,
      cache: nodesCache,
      onChange: (deltas) => {
        if (deltas.some((delta) => delta.name === options.nodeName)) this.#advertiser.recheck();
        this.#mark();
      },
      onState: (state, error) => this.#onStoreState(state, error),
      onUndecodable: update,
    });
    this.#subnets = new Subnets({
      store,
      holder: { node: options.nodeName, id: memory.file.identity },
      readNetwork: () => this.#source.read(),
      previous: memory.file.subnets,
      renewMarginSeconds: options.subnetLeaseRenewMargin * 60,
      inUse: (subnet) => pods.uses(subnet),
      clock,
      random,
      log,
      onChange: update,
    });
    this.#advertiser = new Advertiser({
      store,
      encode: encodeLease,
      decode: (name, value) => decodeLease(value, `node ${name}`),
      ttlSeconds: day,
      clock,
      log,
      onChange: update,
    });
    this.#dataplane = new Dataplane({
      rtnl: parts.rtnl,
      nft: parts.nft,
      ethtool: parts.ethtool,
      poller: parts.poller,
      sysctls: new SysctlLedger(kernelSysctls(), join(options.stateDir, "sysctls.json")),
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
    return this.#state;
  }
  get underlay(): Underlay | undefined {
    return this.#underlay;
  }
  get source(): NetworkSource {
    return this.#source;
  }
  get dataplane(): Dataplane {
    return this.#dataplane;
  }
  get leases(): ReadonlyMap<string, Lease> {
    return this.#nodes.objects();
  }
  get storeState(): { readonly reachable: boolean; readonly reason: string | undefined; readonly since: number } {
    const { clock } = this.#parts;
    return {
      reachable: this.#nodes.state === "synced",
      reason: this.#storeError?.describe(),
      since: this.#storeAwaySince ?? clock.now(),
    };
  }

  get problems(): readonly Problem[] {
    const rejected = this.#source.rejected;
    return [
      ...(rejected === undefined ? [] : [rejectedProblem(this.#source, rejected)]),
      ...this.#source.warnings,
      ...(this.#underlayError === undefined ? [] : [asProblem("underlay", this.#underlayError)]),
      ...[...this.#nodes.undecodable].map(([name, error]) => asProblem(`node ${name}`, error)),
      ...this.#subnets.problems,
      ...this.#advertiser.problems,
      ...(this.#state?.problems ?? []),
      ...this.#dataplane.problems,
      ...this.#firewall.problems(this.#state?.masquerade?.networks ?? []),
      ...(this.#extension?.problems ?? []),
      ...this.#parts.pods.problems,
      ...this.#fileProblems,
    ];
  }

  /** The kernel stays as it is: pods keep talking. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#dataplane.stop();
    this.#firewall.stop();
    this.#subnets.stop();
    this.#advertiser.stop();
    await Promise.all([this.#nodes.close(), this.#source.close(), this.#extension?.idle()]);
    await Promise.all(this.#caches.map((cache) => cache.flush()));
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
    const waiting: string[] = [];
    this.#fileProblems = [];
    const network = this.#source.network;
    if (network === undefined) waiting.push(`a valid network configuration from ${this.#source.name}`);
    else this.#advance(network, waiting);
    this.#waitingFor = waiting;
    this.#parts.pods.setReady(waiting);
    if (waiting.length === 0) this.#installConflist();
  }

  /** From the configuration to the kernel; each return says in `waiting` what is missing. */
  #advance(network: ClusterNetwork, waiting: string[]): void {
    const { options, memory, pods, peers } = this.#parts;
    const underlay = this.#findUnderlay(network);
    if (underlay === undefined) return void waiting.push(this.#underlayError?.describe() ?? "an underlay interface");
    if (!this.#preStartupDone(network)) return void waiting.push("PreStartupCommand of backend extension");

    if (this.#claimedFor !== network) {
      this.#claimedFor = network;
      this.#subnets.setNetwork(network);
    }
    const subnets = this.#subnets.subnets;
    if (subnets.length < rangeList(network).length) waiting.push("a subnet for this node");
    if (subnets.length === 0) return;
    if (subnets.join() !== memory.file.subnets.join()) this.#tryFile("node.json", () => memory.setSubnets(subnets));

    const output = this.#preStartup?.output;
    const local: LocalNode = {
      name: options.nodeName,
      subnets,
      underlay,
      macs: this.#macs(network),
      ...(output === undefined ? {} : { preStartupOutput: output }),
    };
    this.#advertiser.set(this.#lease(network, local));

    if (this.#nodes.state === "starting") return void waiting.push("the list of nodes from the datastore");
    const state = compile(network, local, [...this.#nodes.objects().values()], { masquerade: options.ipMasq });
    this.#state = state;
    this.#dataplane.setState(state, { complete: this.#nodes.state !== "cached" });
    if (state.commands !== undefined) this.#extension?.update(state.commands);
    this.#writeSubnetEnv(network, state);
    pods.setNetwork({ subnets, podMtu: state.podMtu });
    peers.setLeases(this.#nodes.objects().values(), state.tunnels.length > 0);
    if (!this.#dataplane.synced) waiting.push("the kernel's state to be brought up to date");
  }

  #findUnderlay(network: ClusterNetwork): Underlay | undefined {
    if (!this.#underlayStale) return this.#underlay;
    const { rtnl, ethtool, options, log } = this.#parts;
    const families = rangeList(network).map(([family]) => family);
    try {
      const found = findUnderlay({ rtnl, ethtool, sysctls: kernelSysctls() }, options, families);
      if (!sameUnderlay(found, this.#underlay))
        log.info("underlay", { device: found.device, mtu: found.mtu, ipv4: found.ipv4, ipv6: found.ipv6 });
      this.#underlay = found;
      this.#underlayError = undefined;
      this.#underlayStale = false;
    } catch (error) {
      if (!isCode(error, "unavailable")) throw error;
      // What was known stays in force: a flapping link must not take the tunnels down with it.
      if (this.#underlayError?.message !== error.message) log.warn("no usable underlay", { error });
      this.#underlayError = error;
      this.#underlayStale = false;
    }
    return this.#underlay;
  }

  #macs(network: ClusterNetwork): Record<string, Mac> {
    const devices = backendOf(network.backend).macsFor(network.backend, network);
    return Object.fromEntries(devices.map((device) => [device, this.#parts.memory.mac(device)]));
  }

  #lease(network: ClusterNetwork, local: LocalNode): Lease {
    const { options, memory } = this.#parts;
    const { ipv4, ipv6, attached } = local.underlay;
    const addresses = [ipv4 && (options.publicIp ?? ipv4), ipv6 && (options.publicIpv6 ?? ipv6)].filter(
      (address) => address !== undefined,
    );
    return {
      node: options.nodeName,
      id: memory.file.identity,
      subnets: local.subnets,
      addresses,
      ...backendOf(network.backend).advertise(network.backend, network, local),
      underlays: attached,
      ...(options.peerPort === 0 ? {} : { peerPort: options.peerPort }),
    };
  }

  /** Backend extension: its PreStartupCommand runs once, before the subnet is claimed; its output is advertised. */
  #preStartupDone(network: ClusterNetwork): boolean {
    const command = network.backend.type === "extension" ? network.backend.preStartup : undefined;
    if (command === undefined || this.#extension === undefined) {
      this.#preStartup = undefined;
      return true;
    }
    if (this.#preStartup?.command !== command) {
      const started = { command, output: undefined as string | undefined };
      this.#preStartup = started;
      void this.#extension
        .preStartup({ shell: command, environment: {}, stdin: "\n" })
        .then((output) => {
          started.output = output;
        })
        .catch((error: unknown) => {
          this.#parts.log.error("PreStartupCommand failed", { error });
          setTimeout(() => {
            this.#preStartup = undefined;
            this.#mark();
          }, 10_000);
        })
        .finally(() => this.#mark());
    }
    return this.#preStartup?.output !== undefined;
  }

  #writeSubnetEnv(network: ClusterNetwork, state: NodeState): void {
    const of = (range: NetworkRange | undefined) => {
      const subnet =
        range === undefined ? undefined : state.subnets.find((candidate) => covers(range.network, candidate));
      return range === undefined || subnet === undefined ? undefined : { network: range.network, subnet };
    };
    const [ipv4, ipv6] = [of(network.ipv4), of(network.ipv6)];
    const text = formatSubnetEnv({
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      mtu: state.podMtu,
      masquerade: this.#parts.options.ipMasq,
    });
    this.#tryFile(this.#parts.options.subnetFile, () => writeIfChanged(this.#parts.options.subnetFile, text));
  }

  #installConflist(): void {
    const { options, log } = this.#parts;
    const path = join(options.cniConfDir, conflistName);
    this.#tryFile(path, () => {
      if (writeIfChanged(path, conflist(options))) log.info("ready: pods can be added", { conflist: path });
    });
  }

  /** A full disk must not stop the network: what cannot be written is said. */
  #tryFile(path: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!isCode(error, "io")) throw error;
      this.#parts.log.error("a file could not be written", { error });
      this.#fileProblems.push(asProblem(path, error));
    }
  }

  #onKernelEvent(event: RtnlEvent): void {
    this.#parts.pods.onKernelEvent(event);
    if (!concernsUnderlay(event)) return;
    this.#underlayStale = true;
    this.#mark();
  }

  #onStoreState(state: string, error: TwillError | undefined): void {
    const { clock, log } = this.#parts;
    this.#storeError = error;
    if (state === "synced") {
      if (this.#storeAwaySince !== undefined) log.info("the datastore answers again");
      this.#storeAwaySince = undefined;
    } else if (this.#storeAwaySince === undefined) {
      this.#storeAwaySince = clock.now();
      log.warn("the datastore is away; working from the last known state", { error });
    }
    this.#mark();
  }

  async #renew(): Promise<void> {
    try {
      await this.#advertiser.renew();
      await this.#subnets.releaseSurplus();
    } catch (error) {
      this.#parts.log.warn("renewal failed; it is tried again", { error });
    }
  }
}

/** Pods' interfaces and our own routes come and go all the time, and change nothing about how other nodes are reached. */
function concernsUnderlay(event: RtnlEvent): boolean {
  switch (event.type) {
    case "link":
      return !event.link.name.startsWith("twl") && event.link.alias !== "twill";
    case "address":
      return true;
    case "route":
      return (
        event.route.table === mainTable &&
        event.route.protocol !== TWILL_ROUTE_PROTOCOL &&
        event.route.protocol !== TWILL_POD_ROUTE_PROTOCOL
      );
    case "overrun":
      return true;
    default:
      return false;
  }
}

const asProblem = (subject: string, error: TwillError): Problem => ({
  severity: "error",
  subject,
  message: error.describe(),
  remedy: error.remedy ?? "the agent tries again by itself",
});

const rejectedProblem = (source: NetworkSource, error: TwillError): Problem => ({
  severity: "error",
  subject: "network configuration",
  message: `the newest one in ${source.name} is invalid${source.network === undefined ? "" : "; the last good one stays in force"}: ${error.describe()}`,
  remedy: "mend it; the agents follow by themselves",
});

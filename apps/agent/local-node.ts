import { backendOf } from "../../src/backend/registry.ts";
import type { Mac } from "../../src/base/mac.ts";
import type { Prefix } from "../../src/base/prefix.ts";
import { sameNetwork } from "../../src/intent/flannel/net-conf.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";
import type { LocalNode } from "../../src/model/node.ts";
import { rangeList } from "../../src/model/ranges.ts";
import type { AgentParts } from "./agent.ts";
import { ClaimedSubnets } from "./claimed-subnets.ts";
import { NodeSubnets } from "./kubernetes/node-subnets.ts";
import type { NetworkSource } from "./network-source.ts";
import type { NodeFiles } from "./node-files.ts";
import type { SubnetSource } from "./subnet-source.ts";
import type { UnderlayFinder } from "./underlay-finder.ts";

export interface LocalNodeOptions {
  readonly underlay: UnderlayFinder;
  readonly files: NodeFiles;
  /** What the command printed; undefined: it has not ended yet, or must not run. */
  readonly preStartup: (command: string) => string | undefined;
  readonly onChange: () => void;
}

/** What is this machine's own: its underlay, its subnets, the Ethernet addresses of its tunnels. */
export class LocalNodeFinder {
  readonly subnets: SubnetSource;
  readonly #parts: AgentParts;
  readonly #options: LocalNodeOptions;
  /** By which subnets are claimed. */
  #network: ClusterNetwork | undefined;
  #draining: readonly Prefix[] = [];

  constructor(parts: AgentParts, source: NetworkSource, options: LocalNodeOptions) {
    this.#parts = parts;
    this.#options = options;
    const { memory, store, kubernetes, pods, clock, random, log } = parts;
    const { nodeName, subnets, subnetLeaseRenewMargin } = parts.options;
    const common = { previous: memory.file.subnets, log, onChange: options.onChange };
    this.subnets =
      kubernetes !== undefined && subnets === "node"
        ? new NodeSubnets({ nodes: kubernetes.nodes, ...common })
        : new ClaimedSubnets({
            ...common,
            store,
            holder: { node: nodeName, id: memory.file.identity },
            readNetwork: async () => this.#network ?? source.read(),
            renewMarginSeconds: subnetLeaseRenewMargin * 60,
            inUse: (subnet) => pods.uses(subnet),
            clock,
            random,
          });
  }

  /**
   * As these configurations concern it, the first being the one by which it sends and claims. Undefined: `waiting` says
   * what is missing.
   */
  find(networks: readonly [ClusterNetwork, ...ClusterNetwork[]], waiting: string[]): LocalNode | undefined {
    const { options, memory } = this.#parts;
    const { underlay: finder, files, preStartup } = this.#options;
    const [network] = networks;
    const families = new Set(networks.flatMap((each) => rangeList(each).map(([family]) => family)));
    const underlay = finder.find([...families].sort());
    if (underlay === undefined) {
      waiting.push(finder.error?.describe() ?? "an underlay interface");
      return undefined;
    }
    const command = network.backend.type === "extension" ? network.backend.preStartup : undefined;
    const preStartupOutput = command === undefined ? undefined : preStartup(command);
    if (command !== undefined && preStartupOutput === undefined) {
      waiting.push("PreStartupCommand of backend extension");
      return undefined;
    }
    this.#claim(network);
    waiting.push(...this.subnets.waitingFor);
    const subnets = [...this.subnets.subnets, ...this.subnets.draining];
    if (subnets.length === 0) return undefined;
    if (subnets.join() !== memory.file.subnets.join()) files.attempt("node.json", () => memory.setSubnets(subnets));
    return {
      name: options.nodeName,
      subnets,
      underlay,
      macs: Object.assign({}, ...networks.map((each) => this.#macs(each))),
      ...(preStartupOutput === undefined ? {} : { preStartupOutput }),
    };
  }

  /** A subnet of a retired range has no pod any more since the last call: it can be given back at once. */
  hasDrained(): boolean {
    const [before, now] = [this.#draining, this.subnets.draining];
    this.#draining = now;
    return before.some((subnet) => !now.includes(subnet));
  }

  #claim(network: ClusterNetwork): void {
    if (this.#network !== undefined && sameNetwork(this.#network, network)) return;
    this.#network = network;
    this.subnets.setNetwork(network);
  }

  #macs(network: ClusterNetwork): Record<string, Mac> {
    const devices = backendOf(network.backend).macsFor(network.backend, network);
    return Object.fromEntries(devices.map((device) => [device, this.#parts.memory.mac(device)]));
  }
}

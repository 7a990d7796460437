import { tryAddress } from "../base/address.ts";
import { hex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Flow as PolicyFlow } from "../compile/policy/flow.ts";
import { closeFile } from "../kernel/file.ts";
import { openNetns } from "../kernel/netns.ts";
import type { Nft } from "../kernel/nft.ts";
import { checksumErrors, readProcNet } from "../kernel/proc-net.ts";
import type { Rtnl } from "../kernel/rtnl.ts";
import { openRtnl } from "../kernel/rtnl-socket.ts";
import { kernelSysctls, type Sysctls } from "../kernel/sysctl.ts";
import type { DecisionUse } from "../model/decision-use.ts";
import type { FlowPage, FlowsRequest } from "../model/flow.ts";
import type { Asker } from "./asker.ts";
import { nodeChecks } from "./checks/node-checks.ts";
import { examine } from "./examine.ts";
import { type AgentKnowledge, type Card, factsOf, type NodeFacts } from "./facts.ts";
import { type KernelView, readKernel } from "./kernel-view.ts";
import { nodeReport } from "./node-report.ts";
import { type NodeView, type PodPlace, type PodView, podId } from "./node-view.ts";
import { packetFilter } from "./packet-filter.ts";
import type { HeldRows } from "./policy/held-rows.ts";
import type { ModelPart } from "./policy/model-part.ts";
import { probe } from "./probe.ts";
import type { Answer, Asked, Question } from "./questions.ts";
import { walk } from "./walk.ts";
import { Watch } from "./watch.ts";

export interface LookerOptions {
  readonly node: string;
  readonly rtnl: Rtnl;
  readonly sysctls: Sysctls;
  readonly nft: Nft;
  /** As it is now. */
  readonly pods: () => readonly PodPlace[];
  readonly underlay: () => string | undefined;
  readonly knowledge: () => AgentKnowledge;
  /** How this node asks the others. */
  readonly asker: () => Asker;
  /** Absent: nobody keeps any. */
  readonly flows?: ((request: FlowsRequest) => Promise<FlowPage>) | undefined;
  /** Absent: no policy is enforced. */
  readonly decisions?: (() => readonly DecisionUse[]) | undefined;
  /** Absent: policy is off, or nobody runs who could say. */
  readonly policy?: { part(ends: readonly string[]): ModelPart; rows(flow: PolicyFlow): HeldRows } | undefined;
  /** What goes into a bundle beside the facts. */
  readonly report: (withStore: boolean) => Promise<ReportSources>;
  readonly clock: Clock;
  readonly random: Random;
}

export interface ReportSources {
  readonly log: string;
  /** Values that must not leave the node. */
  readonly secrets: readonly string[];
  /** By file name. */
  readonly files: Readonly<Record<string, unknown>>;
}

/** Watches that nobody ended are forgotten so long after their time. */
const forgetAfterMs = 60_000;
const maximumWatches = 16;

/** Answers questions about this node: inside its agent, or inside the command line where the agent is away. */
export class Looker {
  readonly #options: LookerOptions;
  readonly #watches = new Map<string, { readonly watch: Watch; readonly until: number }>();

  constructor(options: LookerOptions) {
    this.#options = options;
  }

  /** The node as it is now; pods' namespaces are read when they are asked for. */
  view(): NodeView {
    const { node, rtnl, sysctls, nft, pods, underlay } = this.#options;
    return {
      node,
      kernel: readKernel(rtnl, sysctls, nft),
      pods: pods().map(lazyPod),
      legacyTables: legacyTables(),
      underlay: underlay(),
    };
  }

  readonly answers: { readonly [Q in Question]: (asked: Asked<Q>) => Answer<Q> | Promise<Answer<Q>> } = {
    devices: () => {
      const { underlay, rtnl, clock } = this.#options;
      const device = underlay();
      const tunnels = rtnl
        .links()
        .flatMap(({ name, kind }) => (kind.type === "vxlan" ? [{ device: name, port: kind.port }] : []));
      return { tunnels, now: clock.now(), ...(device === undefined ? {} : { underlay: device }) };
    },
    card: () => this.#card(),
    checks: () => {
      const facts = this.#facts();
      return nodeChecks.flatMap((check) => check(facts));
    },
    decisions: () => this.#options.decisions?.() ?? [],
    policyPart: ({ ends }) => this.#policy().part(ends),
    policyRows: (flow) => this.#policy().rows(flow),
    flows: (request) => {
      const { flows, node } = this.#options;
      if (flows !== undefined) return flows(request);
      throw new TwillError("unsupported", "this node's agent keeps no flows", {
        operation: "read flows",
        object: node,
        remedy: "start twill-agent without --flow-log=off",
      });
    },
    report: async ({ store }) => {
      const { log, secrets, files } = await this.#options.report(store);
      return nodeReport(this.#facts(), files, log, secrets);
    },
    examine: ({ dns, peers }) => {
      const { asker, clock } = this.#options;
      return examine({ facts: this.#facts(), card: () => this.#card(), asker: asker(), clock, dns, peers });
    },
    find: ({ pod }) => this.#find(pod),
    walk: ({ entry, packet }) => walk(this.view(), entry, packet),
    probe: ({ pod, ...request }) => this.#inPod(pod, (netns) => probe(netns, request)),
    watch: ({ places, hosts, vxlanPorts, program, ...limits }) => {
      this.#forget();
      if (this.#watches.size >= maximumWatches) {
        throw new TwillError("exhausted", `${maximumWatches} captures run on this node already`, {
          operation: "watch",
          object: this.#options.node,
          remedy: "wait until one ends",
        });
      }
      const filter = packetFilter({ hosts, vxlanPorts }, program);
      const where = places.map(({ pod, device }) =>
        pod === undefined ? { device } : { device, netns: this.#pod(pod).netns },
      );
      const { clock, random } = this.#options;
      const id = hex(random.bytes(8));
      const watch = new Watch(where, filter, limits, clock);
      this.#watches.set(id, { watch, until: clock.monotonic() + limits.milliseconds + forgetAfterMs });
      return { id };
    },
    watched: ({ id }) => {
      const found = this.#watches.get(id);
      if (found === undefined) throw new TwillError("not-found", "this capture is over", { operation: "end capture" });
      this.#watches.delete(id);
      return found.watch.stop();
    },
  };

  #policy(): NonNullable<LookerOptions["policy"]> {
    const { policy, node } = this.#options;
    if (policy !== undefined) return policy;
    throw new TwillError("unsupported", "this node's agent keeps no policy", {
      operation: "ask about policy",
      object: node,
      remedy: "start twill-agent without --policy=off",
    });
  }

  #facts(): NodeFacts {
    return factsOf(this.view(), this.#options.knowledge());
  }

  #card(): Card {
    const { node, knowledge, rtnl, clock } = this.#options;
    const { version, state } = knowledge();
    const pods = this.#options.pods();
    return {
      node,
      version,
      now: clock.now(),
      tunnels: (state?.own.tunnels ?? []).flatMap(({ name }) => {
        const mac = rtnl.link(name)?.mac;
        return mac === undefined ? [] : [{ device: name, mac }];
      }),
      pods: pods.map((pod) => ({ id: podId(pod), addresses: pod.addresses })),
      checksumErrors: checksumErrors(undefined) + pods.reduce((sum, { netns }) => sum + podChecksumErrors(netns), 0),
    };
  }

  /** Lets go of all devices. */
  close(): void {
    for (const { watch } of this.#watches.values()) watch.stop();
    this.#watches.clear();
  }

  #forget(): void {
    const now = this.#options.clock.monotonic();
    for (const [id, { watch, until }] of this.#watches) {
      if (now < until) continue;
      watch.stop();
      this.#watches.delete(id);
    }
  }

  #find(text: string): readonly PodPlace[] {
    const address = tryAddress(text);
    return this.#options
      .pods()
      .filter((pod) =>
        address !== undefined ? pod.addresses.includes(address) : podId(pod) === text || pod.name === text,
      );
  }

  #pod(id: string): PodPlace {
    const [pod] = this.#find(id);
    if (pod !== undefined) return pod;
    throw new TwillError("not-found", "there is no such pod on this node", {
      operation: "look at pod",
      object: id,
      remedy: "twill get endpoints lists them",
    });
  }

  async #inPod<T>(id: string | undefined, work: (netns: number | undefined) => Promise<T>): Promise<T> {
    if (id === undefined) return work(undefined);
    const netns = openNetns(this.#pod(id).netns);
    try {
      return await work(netns);
    } finally {
      closeFile(netns);
    }
  }
}

/** net/ipv4/netfilter/ip_tables.c: a table is in the list once somebody has used it. */
const legacyTables = (): string[] =>
  ["ip_tables_names", "ip6_tables_names"].flatMap((name) =>
    (readProcNet(undefined, name) ?? "")
      .split("\n")
      .flatMap((table) => (table === "" ? [] : [`${name.split("_")[0]} ${table}`])),
  );

function lazyPod(place: PodPlace): PodView {
  let read = false;
  let kernel: KernelView | undefined;
  return {
    ...place,
    get kernel() {
      if (!read) kernel = readPod(place.netns);
      read = true;
      return kernel;
    },
  };
}

/** 0 for a namespace that is gone. */
function podChecksumErrors(path: string): number {
  return insidePod(path, checksumErrors) ?? 0;
}

function readPod(path: string): KernelView | undefined {
  return insidePod(path, (netns) => {
    const rtnl = openRtnl({ netns });
    try {
      return readKernel(rtnl, kernelSysctls(netns));
    } finally {
      rtnl.close();
    }
  });
}

/** undefined for a namespace that cannot be entered: it is gone, or its path is no namespace any more. */
function insidePod<T>(path: string, work: (netns: number) => T): T | undefined {
  let netns: number;
  try {
    netns = openNetns(path);
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
  try {
    return work(netns);
  } finally {
    closeFile(netns);
  }
}

import { readFileSync, rmSync } from "node:fs";
import type { AttachKernel } from "../../src/attach/attach-kernel.ts";
import type { Address } from "../../src/base/address.ts";
import type { Clock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Mac } from "../../src/base/mac.ts";
import { contains, type Prefix } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { PodPlace } from "../../src/insight/node-view.ts";
import { parseEnvironment } from "../../src/intent/cni/environment.ts";
import { type Boot, systemBoot } from "../../src/ipam/boot.ts";
import type { RtnlEvent } from "../../src/kernel/rtnl.ts";
import type { AttachmentKey } from "../../src/model/attachment-key.ts";
import type { EndpointStatus } from "../../src/model/status.ts";
import { TWILL_POD_ROUTE_PROTOCOL } from "../../src/objects/route.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";
import { pendingFolder } from "../cni/pending-deletes.ts";
import { absenceNote } from "../cni/status-again.ts";
import { agentSocket } from "../defaults.ts";
import { Books } from "./cni-service/books.ts";
import { CallQueue } from "./cni-service/call-queue.ts";
import { CniService, type PodGate, type PodListener } from "./cni-service/cni-service.ts";
import type { NotReady } from "./cni-service/context.ts";
import { bridgedMac, isEnforceable, type PodRecord } from "./cni-service/pod-record.ts";
import { Pods as PodTable } from "./cni-service/pods.ts";
import { makeFolder } from "./files.ts";
import { watchFolder } from "./folder-watch.ts";
import type { AgentOptions } from "./options.ts";

/** What pods of the cluster's own network get. */
export interface PodNetwork {
  readonly subnets: readonly Prefix[];
  /** Of retired ranges: pods keep their addresses, and no new pod gets one. */
  readonly draining?: readonly Prefix[];
  readonly podMtu: number;
  /** What pods may send, where that is less. */
  readonly podSendMtu?: number;
}

export interface PodsOptions {
  readonly options: AgentOptions;
  readonly kernel: AttachKernel;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
  readonly listener?: PodListener;
  readonly policy?: PodGate & {
    /** What must be learned of a pod before it is added; undefined: nothing. */
    prepare(pod: PodRecord["pod"]): Promise<void> | undefined;
    /** A pod that was added by an agent before this one. */
    restored(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[], bridged?: Mac): void;
  };
}

/** Damage by hand comes as several events; and our own changes announce themselves too. Milliseconds. */
const repairAfterMs = 100;
const repairEveryMs = 60_000;
/** With a full state on disk an agent is ready within one second, on a busy machine within a few. */
const startWithinMs = 10_000;

/** This node's pods: their addresses, their interfaces, and CNI's calls for both. */
export class Pods {
  readonly #parts: PodsOptions;
  readonly #books: Books;
  readonly #table: PodTable;
  readonly #service: CniService;
  readonly #calls: CallQueue;
  readonly #stopWatching: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #repairTimer: ReturnType<typeof setTimeout> | undefined;
  #network: PodNetwork | undefined;
  #notReady: NotReady | undefined = { message: "the agent is starting", remedy: "the runtime tries again" };
  #since = new Map<string, number>();
  /** Monotonic milliseconds. Who is not ready by then has another reason than having just been started. */
  #startsUntil: number;

  /** @throws TwillError when the book of addresses cannot be opened: without it, addresses could get two owners. */
  constructor(parts: PodsOptions) {
    this.#parts = parts;
    const { options, kernel, clock, log, onChange } = parts;
    this.#startsUntil = clock.monotonic() + startWithinMs;
    this.#books = new Books({
      folder: options.stateDir,
      boot: bootOf(options.bootIdFile),
      quarantine: options.addressReuseDelay * 1000,
    });
    if (this.#books.freed.length > 0)
      log.info("the machine was booted: addresses of its old pods are free", { count: this.#books.freed.length });
    this.#table = new PodTable(kernel, this.#books, log, (key) => parts.policy?.removed(key));
    const pending = pendingFolder(agentSocket(options.runDir));
    this.#service = new CniService({
      kernel,
      books: this.#books,
      context: () => ({
        subnets: this.#network?.subnets ?? [],
        podMtu: this.#network?.podMtu ?? 1500,
        ...(this.#network?.podSendMtu === undefined ? {} : { podSendMtu: this.#network.podSendMtu }),
        ...(this.#notReady === undefined ? {} : { notReady: this.#notReady }),
      }),
      pendingFolder: pending,
      log,
      onChange,
      ...(parts.listener && { listener: parts.listener }),
      ...(parts.policy && { policy: parts.policy }),
    });
    this.#calls = new CallQueue(this.#service, (call) => this.#prepare(call));
    this.#table.sweep();
    for (const record of this.#table.records().filter(isEnforceable)) {
      const { plan, pod } = record;
      const addresses = plan.addresses.map(({ address }) => address);
      parts.policy?.restored(plan.key, pod, addresses, bridgedMac(record));
    }
    this.#service.drainPending();
    this.#stopWatching = this.#watchPending(pending);
    this.#timer = setInterval(() => this.#repair(), repairEveryMs);
  }

  get problems(): readonly Problem[] {
    return [...this.#table.problems, ...this.#stranded()];
  }

  /**
   * A call of the plugin. @param netns open descriptor of the pod's namespace.
   * @throws TwillError `unavailable` for STATUS while the agent starts, and the plugin asks again: "not available" would make
   * the node NotReady, although all that happened is that the agent was replaced.
   */
  cni(call: CniCall, netns: number | undefined): CniAnswer | Promise<CniAnswer> {
    if (call.variables.CNI_COMMAND === "STATUS" && this.#isStarting && this.#notReady !== undefined)
      throw new TwillError("unavailable", this.#notReady.message, { remedy: this.#notReady.remedy });
    return this.#calls.handle(call, netns);
  }

  /** A call that cannot be read needs nothing: it is refused in words where it is carried out. */
  #prepare({ variables }: CniCall): Promise<void> | undefined {
    const { policy } = this.#parts;
    if (policy === undefined) return undefined;
    try {
      const environment = parseEnvironment(variables);
      return environment.command === "ADD" ? policy.prepare(environment.args) : undefined;
    } catch {
      return undefined;
    }
  }

  get #isStarting(): boolean {
    return this.#parts.clock.monotonic() < this.#startsUntil;
  }

  setNetwork(network: PodNetwork): void {
    const before = this.#network;
    this.#network = network;
    this.#books.ofNode(network.subnets);
    const { podMtu: device, podSendMtu: sends } = network;
    if (before?.podMtu === device && before.podSendMtu === sends) return;
    const changed = this.#table.setMtu({ device, ...(sends === undefined ? {} : { sends }) });
    if (changed > 0) this.#parts.log.info("pods have a new MTU", { mtu: device, sends, pods: changed });
    if (before === undefined) this.#repair();
  }

  /** @param waitingFor what keeps pods from being added; empty: nothing. */
  setReady(waitingFor: readonly string[]): void {
    if (waitingFor.length === 0 && this.#notReady !== undefined) {
      this.#startsUntil = 0;
      this.#parts.log.info("ready: pods can be added");
      rmSync(absenceNote(agentSocket(this.#parts.options.runDir)), { force: true });
    }
    this.#notReady =
      waitingFor.length === 0
        ? undefined
        : {
            message: `the node is not ready: waiting for ${waitingFor.join("; ")}`,
            remedy: "the runtime tries again; twill status tells more",
          };
  }

  /** A pod has an address of it. */
  uses(subnet: Prefix): boolean {
    const assignments = this.#books.all().flatMap((book) => book.list());
    return assignments.some(({ addresses }) => addresses.some((address) => contains(subnet, address)));
  }

  /** Where the pods are to be found, for who looks into them. */
  places(): readonly PodPlace[] {
    return this.#table.places();
  }

  endpoints(): readonly EndpointStatus[] {
    const now = this.#parts.clock.now();
    const seen = new Map<string, number>();
    const rows = this.#table.endpoints().map((endpoint): EndpointStatus => {
      const id = JSON.stringify(endpoint.key);
      const since = this.#since.get(id) ?? now;
      seen.set(id, since);
      return {
        namespace: endpoint.podNamespace ?? "-",
        pod: endpoint.podName ?? "-",
        network: endpoint.key.network,
        interface: endpoint.key.ifname,
        addresses: endpoint.addresses,
        hostDevice: endpoint.hostDevice ?? "-",
        container: endpoint.key.containerId,
        state: endpoint.state,
        since,
      };
    });
    this.#since = seen;
    return rows;
  }

  /** Of the subnet with the fewest free addresses: in a dual-stack cluster the one that will run out. */
  counts(): { readonly used: number; readonly quarantined: number; readonly free: number } {
    const blocks = this.#books.ofNode(this.#network?.subnets ?? []).counts();
    const scarcest = blocks.reduce<(typeof blocks)[number] | undefined>(
      (least, block) => (least === undefined || block.free < least.free ? block : least),
      undefined,
    );
    const { used, quarantined, free } = scarcest ?? { used: 0, quarantined: 0, free: 0 };
    return { used, quarantined, free };
  }

  /** Something that a pod's interface needs may have gone by hand. */
  onKernelEvent(event: RtnlEvent): void {
    const ours =
      (event.type === "link" && event.link.name.startsWith("twl") && (event.change === "delete" || !event.link.up)) ||
      (event.type === "route" && event.change === "delete" && event.route.protocol === TWILL_POD_ROUTE_PROTOCOL) ||
      event.type === "overrun";
    if (!ours || this.#repairTimer !== undefined) return;
    this.#repairTimer = setTimeout(() => {
      this.#repairTimer = undefined;
      this.#repair();
    }, repairAfterMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#repairTimer);
    this.#stopWatching();
    this.#books.close();
  }

  /** Addresses from before the cluster's network was changed: no other node has a route to them. */
  #stranded(): readonly Problem[] {
    const subnets = [...(this.#network?.subnets ?? []), ...(this.#network?.draining ?? [])];
    if (subnets.length === 0) return [];
    const stranded = this.#books.node
      .list()
      .flatMap(({ addresses }) => addresses.filter((address) => !subnets.some((subnet) => contains(subnet, address))));
    if (stranded.length === 0) return [];
    const some = stranded.slice(0, 3).join(", ") + (stranded.length > 3 ? ` and ${stranded.length - 3} more` : "");
    return [
      {
        severity: "warning",
        subject: "pods",
        message: `they have addresses outside this node's ${subnets.join(" and ")}, where other nodes cannot reach them: ${some}`,
        remedy: "delete these pods, so that they are made anew; twill get endpoints lists them",
      },
    ];
  }

  #repair(): void {
    const before = JSON.stringify(this.problems);
    this.#table.repair();
    if (JSON.stringify(this.problems) !== before) this.#parts.onChange();
  }

  /** A plugin that found nobody at the socket leaves its DEL here. */
  #watchPending(folder: string): () => void {
    makeFolder(folder, 0o700);
    return watchFolder(folder, () => this.#service.drainPending());
  }
}

/** The lab gives each of its nodes a boot id of its own; the clock is the machine's. */
function bootOf(file: string): Boot {
  const system = systemBoot();
  return { id: readFileSync(file, "utf8").trim(), now: () => system.now() };
}

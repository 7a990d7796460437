import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import { contains, parsePrefix } from "../../../src/base/prefix.ts";
import type { Problem } from "../../../src/base/problem.ts";
import { FlowAggregator } from "../../../src/insight/flows/aggregate.ts";
import { type ConntrackTimeouts, idleSeconds, timeoutNames } from "../../../src/insight/flows/idle-time.ts";
import { seenConnection, seenPacket } from "../../../src/insight/flows/sightings.ts";
import { type ConntrackWatch, watchConntrack } from "../../../src/kernel/conntrack-watch.ts";
import { type NflogWatch, watchNflog } from "../../../src/kernel/nflog.ts";
import type { Poller } from "../../../src/kernel/poller.ts";
import type { Sysctls } from "../../../src/kernel/sysctl.ts";
import type { FlowEnd, FlowObstacle, FlowPage, FlowReason, FlowsRequest } from "../../../src/model/flow.ts";
import type { Direction } from "../../../src/model/policy.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import type { Connection, ConnectionEvent } from "../../../src/objects/conntrack.ts";
import type { LoggedPacket } from "../../../src/objects/nflog.ts";
import { labels, logGroup, marks } from "../../../src/render/hooks.ts";
import { FlowHistory } from "./flow-history.ts";
import type { HistoryOptions } from "./history-writer.ts";
import { OpenConnections } from "./open-connections.ts";

/**
 * What is told: "all" connections of this node's pods; those that a "policy" decided; "denied" ones and those that a rule wants logged. Denied ones are
 * told always.
 */
export type FlowScope = "all" | "policy" | "denied";

/** What the agent knows of numbers and addresses. */
export interface FlowKnowledge {
  /** Also of decisions that have gone a short while ago. */
  decision(number: number): Decision | undefined;
  /** Of the policy that decided. */
  tier?(decision: Decision): string | undefined;
  end(address: Address): FlowEnd;
  /** The address is a pod's of this node. */
  isOwn(address: Address): boolean;
}

export interface FlowLogOptions {
  readonly scope: FlowScope;
  readonly knowledge: FlowKnowledge;
  /** Absent: the last flows are kept in memory only. */
  readonly history?: Omit<HistoryOptions, "clock" | "log">;
  readonly poller: Poller;
  readonly sysctls: Pick<Sysctls, "tryRead">;
  readonly clock: Clock;
  readonly log: Log;
  /** Descriptor of the node's network namespace; absent: the process's own. */
  readonly netns?: number;
}

/** What is new is told after so long, what goes on once a window. */
const tickMs = 1000;
const ticksPerWindow = 60;

/**
 * Events are other people's packets. 2,000 a second cost 2 % of a processor (docs/flows.md); what is more waits in a buffer for bursts, and what
 * finds no room there is lost and counted.
 */
const pace = { perSecond: 2000, burst: 8000 };
const receiveBuffer = { connections: 16 << 20, denied: 4 << 20 };

const linkLocal = parsePrefix("fe80::/10");

const obstacles: ReadonlyMap<number, FlowObstacle> = new Map([
  [marks.spoofed, "spoofed"],
  [marks.unknownPod, "unknown-pod"],
  [marks.unreadable, "unreadable"],
  [marks.cut, "cut"],
  [0, "no-connection"],
]);

export interface FlowCounters {
  /** By verdict and deciding direction, as reported: denied packets, connections that began. "none": no decision. */
  readonly seen: Readonly<Record<"allow" | "deny", Readonly<Record<Direction | "none", number>>>>;
  /** Events that the kernel had no room for. */
  readonly lost: { readonly connections: number; readonly denied: number };
  /** Sightings that found no room in their window; flows that found none on the disk. */
  readonly dropped: { readonly window: number; readonly disk: number };
  /** Connections whose ends are waited for, and those that were too many. */
  readonly open: number;
  readonly forgotten: number;
  readonly kept: { readonly bytes: number; readonly files: number };
}

/**
 * What policy allows and denies on this node, as flows that name the rule: denied packets from nflog, connections from conntrack's
 * events, whose labels bear the numbers of their decisions.
 */
export class FlowLog {
  readonly #options: FlowLogOptions;
  readonly #history: FlowHistory;
  readonly #aggregator: FlowAggregator;
  readonly #open = new OpenConnections();
  readonly #timeouts: ConntrackTimeouts;
  readonly #lastHits = new Map<number, number>();
  readonly #seen = { allow: { egress: 0, ingress: 0, none: 0 }, deny: { egress: 0, ingress: 0, none: 0 } };
  /** By what cannot be done. */
  readonly #problems = new Map<string, Problem>();
  readonly #stop = new AbortController();
  #denied: NflogWatch | undefined;
  #connections: ConntrackWatch | undefined;

  constructor(options: FlowLogOptions) {
    this.#options = options;
    const { clock, log, knowledge, history, sysctls } = options;
    this.#history =
      this.#try("keep flows", () => FlowHistory.open(history && { ...history, clock, log })) ??
      FlowHistory.open(undefined);
    this.#aggregator = new FlowAggregator({
      end: (address) => knowledge.end(address),
      reason: (number) => this.#reason(number),
    });
    this.#timeouts = readTimeouts(sysctls);
    this.#listen();
    void this.#run();
  }

  get problems(): readonly Problem[] {
    const { failure } = this.#history.kept;
    if (failure === undefined) return [...this.#problems.values()];
    const told = problem("FlowsNotKept", `flows are not kept: ${failure}`, "free some space; it is tried again");
    return [...this.#problems.values(), told];
  }

  get counters(): FlowCounters {
    const { bytes, files, lost } = this.#history.kept;
    return {
      seen: { allow: { ...this.#seen.allow }, deny: { ...this.#seen.deny } },
      lost: { connections: this.#connections?.counters.lost ?? 0, denied: this.#denied?.counters.lost ?? 0 },
      dropped: { window: this.#aggregator.dropped, disk: lost },
      open: this.#open.size,
      forgotten: this.#open.forgotten,
      kept: { bytes, files },
    };
  }

  /** When the decision was last seen to be taken, milliseconds since 1970; undefined: not since this agent started. */
  lastHit(number: number): number | undefined {
    return this.#lastHits.get(number);
  }

  async page(request: FlowsRequest): Promise<FlowPage> {
    const { lost, dropped } = this.counters;
    return { ...(await this.#history.page(request)), lost: lost.connections + lost.denied + dropped.window };
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#denied?.close();
    this.#connections?.close();
    this.#history.add(this.#aggregator.turn());
    await this.#history.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let tick = 1; !signal.aborted; tick++) {
      await this.#options.clock.sleep(tickMs, signal);
      if (signal.aborted) return;
      const isEnd = tick % ticksPerWindow === 0;
      this.#history.add(isEnd ? this.#aggregator.turn() : this.#aggregator.fresh());
      if (isEnd) this.#forgetHits();
      if (isEnd) this.#listen();
      await this.#history.flush();
    }
  }

  /** Another program may have the log group, or a module may come with the first rule that needs it: what is missing is tried again. */
  #listen(): void {
    this.#denied ??= this.#try("hear of denied packets", () => this.#watchDenied());
    this.#connections ??= this.#try("hear of connections", () => this.#watchConnections());
    if (this.#options.sysctls.tryRead(eventsSetting) !== "0") this.#problems.delete("events");
    else this.#problems.set("events", silentConntrack);
  }

  #watchDenied(): NflogWatch {
    const { poller, clock, netns } = this.#options;
    return watchNflog(
      poller,
      {
        group: logGroup.number,
        copyRange: logGroup.bytes,
        pace,
        receiveBuffer: receiveBuffer.denied,
        clock,
        ...(netns === undefined ? {} : { netns }),
      },
      (packet) => this.#onDenied(packet),
    );
  }

  #watchConnections(): ConntrackWatch {
    const { poller, clock, netns, scope } = this.#options;
    return watchConntrack(
      poller,
      {
        events: ["new", "destroy"],
        labelled: scope !== "all",
        wantsEnd: (id) => this.#open.has(id),
        pace,
        receiveBuffer: receiveBuffer.connections,
        clock,
        ...(netns === undefined ? {} : { netns }),
      },
      (event) => this.#onConnection(event),
    );
  }

  #onDenied({ mark, payload }: LoggedPacket): void {
    const seen = seenPacket(payload);
    if (seen === undefined) return;
    const time = this.#options.clock.now();
    const obstacle = obstacles.get(mark);
    // A pod without IPv6 greets its link all the same (neighbour discovery, multicast listeners): nobody needs to know.
    if (obstacle === "spoofed" && contains(linkLocal, seen.source)) return;
    const direction = obstacle === undefined ? this.#options.knowledge.decision(mark)?.direction : undefined;
    if (direction !== undefined) this.#lastHits.set(mark, time);
    this.#seen.deny[direction ?? "none"]++;
    this.#aggregator.add({
      ...seen,
      time,
      verdict: "deny",
      egress: direction === "egress" ? mark : 0,
      ingress: direction === "ingress" ? mark : 0,
      ...(direction === undefined ? { obstacle: obstacle ?? "forgotten" } : {}),
    });
  }

  #onConnection({ type, connection }: ConnectionEvent): void {
    if (type === "new") this.#onBegin(connection);
    else if (type === "destroy") this.#onEnd(connection);
  }

  #onBegin(connection: Connection): void {
    const { knowledge, clock, scope } = this.#options;
    const egress = connection.labels?.[labels.egressDecision] ?? 0;
    const ingress = connection.labels?.[labels.ingressDecision] ?? 0;
    const isDecided = egress !== 0 || ingress !== 0;
    if (scope === "denied" && !(this.#isToBeLogged(egress) || this.#isToBeLogged(ingress))) return;
    const seen = seenConnection(connection);
    // Unlabelled ones are this node's own affair, unless an end is a pod of ours that no policy selects.
    if (!isDecided && (scope !== "all" || !(knowledge.isOwn(seen.source) || knowledge.isOwn(seen.destination)))) return;
    const time = clock.now();
    for (const [direction, number] of [
      ["egress", egress],
      ["ingress", ingress],
    ] as const) {
      if (number === 0) continue;
      this.#lastHits.set(number, time);
      this.#seen.allow[direction]++;
    }
    if (!isDecided) this.#seen.allow.none++;
    const kind = this.#aggregator.add({ ...seen, time, verdict: "allow", egress, ingress });
    if (kind !== undefined && connection.id !== undefined) this.#open.add(connection.id, { kind, began: time });
  }

  #onEnd(connection: Connection): void {
    const open = connection.id === undefined ? undefined : this.#open.take(connection.id);
    if (open === undefined) return;
    const now = this.#options.clock.now();
    const { original, reply } = connection.counters ?? {};
    const total = (of: "packets" | "bytes") => Number((original?.[of] ?? 0n) + (reply?.[of] ?? 0n));
    const seconds = Math.max(0, (now - open.began) / 1000 - idleSeconds(connection, this.#timeouts));
    this.#aggregator.end(
      open.kind,
      { connections: 1, packets: total("packets"), bytes: total("bytes"), seconds: Math.round(seconds * 1000) / 1000 },
      now,
    );
  }

  #isToBeLogged(number: number): boolean {
    return number !== 0 && this.#options.knowledge.decision(number)?.log === true;
  }

  #reason(number: number): FlowReason {
    const { knowledge } = this.#options;
    const decision = knowledge.decision(number);
    if (decision === undefined) return { by: "forgotten", number };
    const tier = knowledge.tier?.(decision);
    return tier === undefined || decision.reason.by === "tier" ? decision.reason : { ...decision.reason, tier };
  }

  /** Numbers that nobody knows any more are given to nobody again for long; this is where they would pile up. */
  #forgetHits(): void {
    for (const number of this.#lastHits.keys())
      if (this.#options.knowledge.decision(number) === undefined) this.#lastHits.delete(number);
  }

  #try<T>(what: string, work: () => T): T | undefined {
    try {
      const done = work();
      this.#problems.delete(what);
      return done;
    } catch (error) {
      if (!this.#problems.has(what)) this.#options.log.warn(`cannot ${what}`, { error });
      const remedy = error instanceof TwillError ? error.remedy : undefined;
      const told = problem("FlowsMissing", `cannot ${what}: ${describeError(error)}`, remedy ?? "see the agent's log");
      this.#problems.set(what, told);
      return undefined;
    }
  }
}

const eventsSetting = ["netfilter", "nf_conntrack_events"];

const problem = (reason: string, message: string, remedy: string): Problem => ({
  severity: "warning",
  subject: "flows",
  reason,
  message,
  remedy,
});

const silentConntrack = problem(
  "FlowsMissing",
  "conntrack tells of no connections",
  "sysctl -w net.netfilter.nf_conntrack_events=2",
);

function readTimeouts(sysctls: Pick<Sysctls, "tryRead">): ConntrackTimeouts {
  const timeouts = new Map<string, number>();
  for (const name of timeoutNames) {
    const value = Number(sysctls.tryRead(["netfilter", `nf_conntrack_${name}`]) ?? Number.NaN);
    if (Number.isFinite(value)) timeouts.set(name, value);
  }
  return timeouts;
}

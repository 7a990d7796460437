import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import { contains, parsePrefix } from "../../../src/base/prefix.ts";
import type { Problem } from "../../../src/base/problem.ts";
import { FlowAggregator } from "../../../src/insight/flows/aggregate.ts";
import { type ConntrackTimeouts, idleSeconds, timeoutNames } from "../../../src/insight/flows/idle-time.ts";
import { seenConnection, seenPacket } from "../../../src/insight/flows/sightings.ts";
import type { Poller } from "../../../src/kernel/poller.ts";
import type { Sysctls } from "../../../src/kernel/sysctl.ts";
import type { FlowEnd, FlowPage, FlowReason, FlowsRequest } from "../../../src/model/flow.ts";
import type { Direction } from "../../../src/model/policy.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import type { Connection, ConnectionEvent } from "../../../src/objects/conntrack.ts";
import type { LoggedPacket } from "../../../src/objects/nflog.ts";
import { labels } from "../../../src/render/hooks.ts";
import { FlowHistory } from "./flow-history.ts";
import { FlowSources, flowsProblem } from "./flow-sources.ts";
import type { HistoryOptions } from "./history-writer.ts";
import { obstacleOf } from "./obstacles.ts";
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

const linkLocal = parsePrefix("fe80::/10");

export interface FlowCounters {
  /** By verdict and deciding direction, as reported: denied packets, connections that began. "none": no decision. */
  readonly seen: Readonly<Record<"allow" | "deny", Readonly<Record<Direction | "none", number>>>>;
  readonly lost: FlowSources["lost"];
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
  readonly #sources: FlowSources;
  readonly #open = new OpenConnections();
  #timeouts: ConntrackTimeouts;
  readonly #lastHits = new Map<number, number>();
  readonly #seen = { allow: { egress: 0, ingress: 0, none: 0 }, deny: { egress: 0, ingress: 0, none: 0 } };
  /** Why there is no history on the disk. */
  #unusable: Problem | undefined;
  readonly #stop = new AbortController();

  constructor(options: FlowLogOptions) {
    this.#options = options;
    const { scope, clock, log, poller, knowledge, sysctls, netns } = options;
    this.#history = this.#openHistory();
    this.#aggregator = new FlowAggregator({
      end: (address) => knowledge.end(address),
      reason: (number) => this.#reason(number),
    });
    this.#timeouts = readTimeouts(sysctls);
    this.#sources = new FlowSources({
      ...{ poller, sysctls, clock, log, unlabelled: scope === "all" },
      onDenied: (packet) => this.#onDenied(packet),
      onConnection: (event) => this.#onConnection(event),
      wantsEnd: (id) => this.#open.has(id),
      ...(netns === undefined ? {} : { netns }),
    });
    void this.#run();
  }

  get problems(): readonly Problem[] {
    const { failure } = this.#history.kept;
    return [
      ...this.#sources.problems,
      ...(this.#unusable === undefined ? [] : [this.#unusable]),
      ...(failure === undefined ? [] : [notKept(failure, "free some space; it is tried again")]),
    ];
  }

  get counters(): FlowCounters {
    const { bytes, files, lost } = this.#history.kept;
    return {
      seen: { allow: { ...this.#seen.allow }, deny: { ...this.#seen.deny } },
      lost: this.#sources.lost,
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
    this.#sources.close();
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
      if (isEnd) this.#lookAgain();
      await this.#history.flush();
    }
  }

  /** At what may be other than a minute ago. */
  #lookAgain(): void {
    this.#sources.listen();
    this.#timeouts = readTimeouts(this.#options.sysctls);
    this.#forgetHits();
  }

  #openHistory(): FlowHistory {
    const { history, clock, log } = this.#options;
    try {
      return FlowHistory.open(history && { ...history, clock, log });
    } catch (error) {
      log.warn("flows are kept in memory only", { error });
      this.#unusable = notKept(describeError(error), "mend it, and restart the agent");
      return FlowHistory.open(undefined);
    }
  }

  #onDenied({ mark, payload }: LoggedPacket): void {
    const seen = seenPacket(payload);
    if (seen === undefined) return;
    const time = this.#options.clock.now();
    const obstacle = obstacleOf(mark);
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
}

const notKept = (why: string, remedy: string): Problem =>
  flowsProblem("FlowsNotKept", `flows are not kept: ${why}`, remedy);

function readTimeouts(sysctls: Pick<Sysctls, "tryRead">): ConntrackTimeouts {
  const timeouts = new Map<string, number>();
  for (const name of timeoutNames) {
    const value = Number(sysctls.tryRead(["netfilter", `nf_conntrack_${name}`]) ?? Number.NaN);
    if (Number.isFinite(value)) timeouts.set(name, value);
  }
  return timeouts;
}

import { createHash } from "node:crypto";
import type { Clock } from "../../../src/base/clock.ts";
import { isCode } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { KubernetesObject } from "../../../src/store/kubernetes/object.ts";
import { EVENTS } from "../../../src/store/kubernetes/resource.ts";
import { Alarm } from "../alarm.ts";
import type { ClusterNodes } from "./cluster-nodes.ts";

export interface NodeEventsOptions {
  readonly nodes: ClusterNodes;
  readonly client: () => Promise<Pick<KubernetesClient, "create" | "patch">>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Events of cluster-wide objects lie here (k8s.io/kubernetes pkg/apis/core/validation/events.go). */
const namespace = "default";
const component = "twill-agent";
/** What is over sooner was not worth an event. Milliseconds. */
const settleMs = 5_000;
/** API servers keep an event for an hour after its last change: what lasts is told again before. */
const repeatMs = 30 * 60_000;
/** At most so many writes at once, and then one in each `refillMs`. */
const burst = 10;
const refillMs = 60_000;
const retryMs = 10_000;
const longestMessage = 1000;

interface Notice {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

interface Pending {
  readonly notice: Notice;
  /** Told once, whatever becomes of it. */
  readonly once: boolean;
  dueAt: number;
  count: number;
}

interface Event extends KubernetesObject {
  readonly count?: number;
  readonly [field: string]: unknown;
}

/**
 * Problems as events of this node's Node, where `kubectl describe node` shows them: each once, again while it lasts, and
 * never more than the API server can bear. An event's name follows from what it says, so that a restarted agent goes on with it.
 */
export class NodeEvents {
  readonly #options: NodeEventsOptions;
  readonly #alarm: Alarm;
  readonly #stop = new AbortController();
  readonly #pending = new Map<string, Pending>();
  #tokens = burst;
  #refilled: number;

  constructor(options: NodeEventsOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
    this.#refilled = options.clock.monotonic();
    options.nodes.subscribe(() => this.#alarm.ring());
    void this.#run();
  }

  /** All problems that there are now. */
  set(problems: readonly Problem[]): void {
    const { name } = this.#options.nodes;
    const notices = problems
      .map((problem) => noticeOf(problem, name))
      .map((notice) => [keyOf(notice), notice] as const);
    const keys = new Set(notices.map(([key]) => key));
    for (const [key, { once }] of this.#pending) if (!once && !keys.has(key)) this.#pending.delete(key);
    const dueAt = this.#options.clock.monotonic() + settleMs;
    for (const [key, notice] of notices) {
      if (this.#pending.has(key)) continue;
      this.#pending.set(key, { notice, once: false, dueAt, count: 0 });
      this.#alarm.ring();
    }
  }

  /** What happened, rather than what lasts. */
  tell(reason: string, message: string): void {
    const notice: Notice = { type: "Normal", reason, message };
    this.#pending.set(keyOf(notice), { notice, once: true, dueAt: 0, count: 0 });
    this.#alarm.ring();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { clock, log, nodes } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const [key, next] = this.#next();
      const wait = next === undefined || nodes.own === undefined ? Infinity : next.dueAt - clock.monotonic();
      if (key === undefined || next === undefined || wait > 0) {
        await this.#alarm.wait(wait, signal);
        continue;
      }
      if (!this.#take()) {
        await clock.sleep(refillMs - (clock.monotonic() - this.#refilled), signal);
        continue;
      }
      try {
        await this.#post(key, next, nodes.own?.uid ?? "");
        if (next.once) this.#pending.delete(key);
        next.dueAt = clock.monotonic() + repeatMs;
      } catch (error) {
        log.debug("an event is not written; it is tried again", { reason: next.notice.reason, error });
        next.dueAt = clock.monotonic() + retryMs;
      }
    }
  }

  #next(): readonly [string, Pending] | readonly [undefined, undefined] {
    let first: readonly [string, Pending] | undefined;
    for (const entry of this.#pending) if (first === undefined || entry[1].dueAt < first[1].dueAt) first = entry;
    return first ?? [undefined, undefined];
  }

  #take(): boolean {
    const now = this.#options.clock.monotonic();
    const refills = Math.floor((now - this.#refilled) / refillMs);
    this.#refilled += refills * refillMs;
    this.#tokens = Math.min(burst, this.#tokens + refills);
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }

  async #post(key: string, pending: Pending, uid: string): Promise<void> {
    const { nodes, clock } = this.#options;
    const client = await this.#options.client();
    const now = new Date(clock.now()).toISOString();
    const hash = createHash("sha256").update(`${uid}\0${key}`).digest("hex").slice(0, 16);
    const place = { namespace, name: `${nodes.name}.${hash}` };
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: place,
      involvedObject: { apiVersion: "v1", kind: "Node", name: nodes.name, uid },
      ...pending.notice,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component, host: nodes.name },
      reportingComponent: component,
      reportingInstance: nodes.name,
    };
    const again = () =>
      client.patch<Event>(EVENTS, place, {
        lastTimestamp: now,
        ...(pending.count > 0 && { count: pending.count + 1 }),
      });
    const made = () => client.create<Event>(EVENTS, place, event);
    // Which of the two it is cannot be asked without a permission to read events, which is not needed otherwise.
    const [first, second] = pending.count > 0 ? [again, made] : [made, again];
    const stored = await first().catch((error: unknown) => {
      if (isCode(error, "exists") || isCode(error, "not-found")) return second();
      throw error;
    });
    pending.count = stored.count ?? 1;
  }
}

/** Of a message that shows the place in a text, the lines after the first are that text. */
const noticeOf = ({ severity, subject, message, remedy, reason }: Problem, node: string): Notice => {
  const [first = ""] = message.split("\n", 1);
  const text = subject === node ? first : `${subject}: ${first}`;
  return {
    type: "Warning",
    reason: reason ?? (severity === "error" ? "TwillError" : "TwillWarning"),
    message: `${text} (${remedy})`.slice(0, longestMessage),
  };
};

const keyOf = ({ type, reason, message }: Notice): string => JSON.stringify([type, reason, message]);

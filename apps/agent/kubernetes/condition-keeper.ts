import type { Clock } from "../../../src/base/clock.ts";
import type { Log } from "../../../src/base/log.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { NodeCondition } from "../../../src/store/kubernetes/object.ts";
import { NODES } from "../../../src/store/kubernetes/resource.ts";
import { Alarm } from "../alarm.ts";
import type { ClusterNodes } from "./cluster-nodes.ts";
import type { NetworkCondition } from "./network-condition.ts";

export interface ConditionKeeperOptions {
  readonly nodes: ClusterNodes;
  readonly client: () => Promise<Pick<KubernetesClient, "patch">>;
  readonly clock: Clock;
  readonly log: Log;
  /** The Node says something else now. */
  readonly onWritten: (before: NodeCondition | undefined, now: NetworkCondition) => void;
}

const type = "NetworkUnavailable";
/** A restarting agent is not ready for a moment, and an underlay may flap: nobody need be told. Milliseconds. */
const settleMs = { explained: 5_000, unexplained: 30_000 };
/** Whoever else writes the condition (a cloud's route controller) is overwritten no more often. */
const contestMs = 60_000;
const retryMs = { first: 1_000, longest: 30_000 };

/** Keeps the condition of this node's Node as wanted: written when the Node says something else, never to repeat it. */
export class ConditionKeeper {
  readonly #options: ConditionKeeperOptions;
  readonly #alarm: Alarm;
  readonly #stop = new AbortController();
  #wanted: NetworkCondition | undefined;
  #unavailableSince: number | undefined;
  #written: { readonly what: string; readonly at: number } | undefined;

  constructor(options: ConditionKeeperOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
    options.nodes.subscribe(() => this.#alarm.ring());
    void this.#run();
  }

  want(condition: NetworkCondition): void {
    const { clock } = this.#options;
    if (condition.status === "False") this.#unavailableSince = undefined;
    else this.#unavailableSince ??= clock.monotonic();
    if (same(condition, this.#wanted)) return;
    this.#wanted = condition;
    this.#alarm.ring();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      const due = this.#due();
      if (due > 0) {
        await this.#alarm.wait(due, signal);
        continue;
      }
      try {
        await this.#write();
        failures = 0;
      } catch (error) {
        this.#options.log.debug("the Node's condition is not written; it is tried again", { error });
        await this.#options.clock.sleep(Math.min(retryMs.first * 2 ** failures++, retryMs.longest), signal);
      }
    }
  }

  /** Milliseconds until it must be written; Infinity: not as things are. */
  #due(): number {
    const { nodes, clock } = this.#options;
    const wanted = this.#wanted;
    if (wanted === undefined || nodes.own === undefined || same(wanted, nodes.own.unavailable)) return Infinity;
    const now = clock.monotonic();
    const settle = wanted.reason === "TwillIsNotReady" ? settleMs.unexplained : settleMs.explained;
    const settled = this.#unavailableSince === undefined ? 0 : this.#unavailableSince + settle;
    const contested = this.#written?.what === this.#what(wanted) ? this.#written.at + contestMs : 0;
    return Math.max(settled, contested) - now;
  }

  async #write(): Promise<void> {
    const { nodes, client, clock, log, onWritten } = this.#options;
    const [wanted, own] = [this.#wanted, nodes.own];
    if (wanted === undefined || own === undefined) return;
    const now = new Date(clock.now()).toISOString();
    const transition = own.unavailable?.status === wanted.status ? own.unavailable.lastTransitionTime : undefined;
    const condition = { type, ...wanted, lastHeartbeatTime: now, lastTransitionTime: transition ?? now };
    const place = { name: nodes.name, subresource: "status" };
    await (await client()).patch(NODES, place, { status: { conditions: [condition] } }, "strategic");
    // The Node as we know it follows by the watch.
    this.#written = { what: this.#what(wanted), at: clock.monotonic() };
    log.info("condition of the Node", { condition: type, ...wanted });
    onWritten(own.unavailable, wanted);
  }

  /** A Node that was deleted and came back is another one. */
  #what(condition: NetworkCondition): string {
    return JSON.stringify([this.#options.nodes.own?.uid, condition]);
  }
}

const same = (a: NetworkCondition, b: NetworkCondition | NodeCondition | undefined): boolean =>
  a.status === b?.status && a.reason === b.reason && a.message === b.message;

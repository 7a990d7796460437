import type { Clock } from "../../../src/base/clock.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import { type ConntrackWatch, watchConntrack } from "../../../src/kernel/conntrack-watch.ts";
import { type NflogWatch, watchNflog } from "../../../src/kernel/nflog.ts";
import type { Poller } from "../../../src/kernel/poller.ts";
import type { Sysctls } from "../../../src/kernel/sysctl.ts";
import type { ConnectionEvent } from "../../../src/objects/conntrack.ts";
import type { LoggedPacket } from "../../../src/objects/nflog.ts";
import { logGroup } from "../../../src/render/hooks.ts";

export interface FlowSourcesOptions {
  /** Connections that no policy decided are wanted, too. */
  readonly unlabelled: boolean;
  readonly onDenied: (packet: LoggedPacket) => void;
  readonly onConnection: (event: ConnectionEvent) => void;
  /** Whether the end of this connection is waited for. */
  readonly wantsEnd: (id: number) => boolean;
  readonly poller: Poller;
  readonly sysctls: Pick<Sysctls, "tryRead">;
  readonly clock: Clock;
  readonly log: Log;
  /** Descriptor of the node's network namespace; absent: the process's own. */
  readonly netns?: number;
}

/**
 * Events are other people's packets. 2,000 a second cost a few percent of a processor (docs/flows.md); what is more waits in a buffer for bursts, and
 * what finds no room there is lost and counted.
 */
const pace = { perSecond: 2000, burst: 8000 };
const receiveBuffer = { connections: 16 << 20, denied: 4 << 20 };
const eventsSetting = ["netfilter", "nf_conntrack_events"];

/** What the kernel tells of flows. What it cannot tell is a problem, and tried again. */
export class FlowSources {
  readonly #options: FlowSourcesOptions;
  /** By what is missing. */
  readonly #problems = new Map<string, Problem>();
  #denied: NflogWatch | undefined;
  #connections: ConntrackWatch | undefined;

  constructor(options: FlowSourcesOptions) {
    this.#options = options;
    this.listen();
  }

  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  /** Events that the kernel had no room for. */
  get lost(): { readonly connections: number; readonly denied: number } {
    return { connections: this.#connections?.counters.lost ?? 0, denied: this.#denied?.counters.lost ?? 0 };
  }

  /** To what is not listened to yet: another program may have had the log group, or a module came with the first rule that needs it. */
  listen(): void {
    this.#denied ??= this.#try("denied packets", () => this.#watchDenied());
    this.#connections ??= this.#try("connections", () => this.#watchConnections());
    if (this.#options.sysctls.tryRead(eventsSetting) !== "0") this.#problems.delete("events");
    else this.#problems.set("events", silentConntrack);
  }

  close(): void {
    this.#denied?.close();
    this.#connections?.close();
  }

  #watchDenied(): NflogWatch {
    const { poller, clock, netns, onDenied } = this.#options;
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
      onDenied,
    );
  }

  #watchConnections(): ConntrackWatch {
    const { poller, clock, netns, unlabelled, wantsEnd, onConnection } = this.#options;
    return watchConntrack(
      poller,
      {
        events: ["new", "destroy"],
        labelled: !unlabelled,
        wantsEnd,
        pace,
        receiveBuffer: receiveBuffer.connections,
        clock,
        ...(netns === undefined ? {} : { netns }),
      },
      onConnection,
    );
  }

  #try<T>(what: string, work: () => T): T | undefined {
    try {
      const done = work();
      this.#problems.delete(what);
      return done;
    } catch (error) {
      if (!this.#problems.has(what)) this.#options.log.warn(`flows lack ${what}`, { error });
      const remedy = (error instanceof TwillError ? error.remedy : undefined) ?? "see the agent's log";
      this.#problems.set(what, flowsProblem("FlowsMissing", `they lack ${what}: ${describeError(error)}`, remedy));
      return undefined;
    }
  }
}

export const flowsProblem = (reason: string, message: string, remedy: string): Problem => ({
  severity: "warning",
  subject: "flows",
  reason,
  message,
  remedy,
});

const silentConntrack = flowsProblem(
  "FlowsMissing",
  "conntrack tells of no connections",
  "sysctl -w net.netfilter.nf_conntrack_events=2",
);

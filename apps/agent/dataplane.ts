import type { RefusedElement } from "../../src/apply/nft-refusal.ts";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type ApplyReport, Reconciler } from "../../src/apply/reconciler.ts";
import type { Clock } from "../../src/base/clock.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Ethtool } from "../../src/kernel/ethtool.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import type { Poller } from "../../src/kernel/poller.ts";
import type { Rtnl, RtnlEvent } from "../../src/kernel/rtnl.ts";
import { type RtnlWatch, watchRtnl } from "../../src/kernel/rtnl-watch.ts";
import type { Sysctls } from "../../src/kernel/sysctl.ts";
import type { Masquerade, StateChange } from "../../src/model/node-state.ts";
import type { PolicyChange, PolicyState } from "../../src/model/policy-state.ts";
import type { NftTableContent } from "../../src/objects/nft.ts";
import { masqueradeTable, twillTable } from "../../src/render/masquerade.ts";
import type { PolicyOptions } from "../../src/render/policy/options.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import { render } from "../../src/render/render.ts";
import { Tidy } from "./tidy.ts";

export interface DataplaneOptions {
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  readonly ethtool: Ethtool;
  readonly poller: Poller;
  readonly sysctls: Sysctls;
  readonly clock: Clock;
  readonly log: Log;
  /** How policy is enforced; absent: not at all. Present: the table is not touched before the first `writePolicy`, for it may hold policy. */
  readonly policy?: PolicyOptions;
  /** Each change in the kernel, ours too, before it is answered. */
  readonly onEvent: (event: RtnlEvent) => void;
  /** After a flush whose outcome differs from that of the one before, and after the first one behind a `change` to be told of. */
  readonly onChange: () => void;
}

/** The kernel is read anew so often, for what it does not announce. */
const resyncEveryMs = 60_000;
/** After a flush that could not even read the kernel. */
const retryMs = 1_000;
/** Where the kernel cannot keep others out of our nf_tables table (before 6.9), it is looked at so often. One small message. */
const tableCheckMs = 1_000;

/** Holds the node's kernel at the state last given: written when that changes, healed when the kernel does. */
export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #reconciler: Reconciler;
  readonly #table: NftTableKeeper;
  readonly #watch: RtnlWatch;
  readonly #tidy = new Tidy();
  readonly #resync: ReturnType<typeof setInterval>;
  readonly #writes: Record<string, number> = {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tableCheck: ReturnType<typeof setInterval> | undefined;
  #due = Number.POSITIVE_INFINITY;
  #report: ApplyReport | undefined;
  #failure: Problem | undefined;
  #tableFailure: Problem | undefined;
  #tableDirty = false;
  #untold = false;
  #started = false;
  #masquerade: Masquerade | undefined;
  #policy: PolicyState | undefined;
  #policyIsKnown = false;
  #policyAlone = false;
  readonly #rendering: PolicyRendering | undefined;
  #lastSync: number | undefined;

  constructor(options: DataplaneOptions) {
    this.#options = options;
    const { rtnl, sysctls, clock, log } = options;
    this.#reconciler = new Reconciler({ rtnl, sysctl: sysctls, offload: options.ethtool, clock, log });
    this.#table = new NftTableKeeper({ nft: options.nft, log, family: twillTable.family, name: twillTable.table });
    this.#rendering = options.policy && new PolicyRendering(options.policy);
    // Watch first, then read: what changes in between is told.
    this.#watch = watchRtnl(
      options.poller,
      { groups: ["link", "address", "route", "neighbour", "setting"] },
      (event) => {
        options.onEvent(event);
        this.#reconciler.onEvent(event);
        this.#schedule(0);
      },
    );
    this.#resync = setInterval(() => {
      this.#reconciler.resync();
      this.#schedule(0);
      this.#tidy.afterBurst(this.#reconciler.peers);
    }, resyncEveryMs);
  }

  get problems(): readonly Problem[] {
    const failures = [this.#failure, this.#tableFailure].filter((problem) => problem !== undefined);
    return [...failures, ...(this.#report?.problems ?? [])];
  }

  /** The kernel was brought to the wanted state at least once. */
  get synced(): boolean {
    return this.#lastSync !== undefined;
  }

  /** Wall-clock milliseconds of the last flush that read or wrote the kernel without failing. */
  get lastSync(): number | undefined {
    return this.#lastSync;
  }

  /** Changes asked of the kernel since the start, by operation. */
  get writes(): Readonly<Record<string, number>> {
    return this.#writes;
  }

  /** All that was wanted has been written, as far as the kernel took it. */
  get isWritten(): boolean {
    return this.#due === Number.POSITIVE_INFINITY && !this.#tableDirty && this.#failure === undefined;
  }

  /**
   * `complete: false`: the other nodes are known from a cache only, so nothing in the kernel is removed. `tell`: the caller
   * wants to know when it is written, whatever came of it.
   */
  change(change: StateChange, options: { readonly complete: boolean; readonly tell?: boolean }): void {
    if (options.tell === true) this.#untold = true;
    this.#reconciler.setDesired(render(change), options);
    if (change.own !== undefined) {
      this.#setMasquerade(change.own.masquerade);
      this.#tidy.afterBurst(this.#reconciler.peers);
    }
    this.#started = true;
    this.#schedule(0);
  }

  /** Nothing of the node's is Twill's but policy: devices, routes and masquerade are another pod network's. */
  startWithPolicyAlone(): void {
    this.#policyAlone = true;
    this.#started = true;
    this.#tableDirty = true;
    this.#schedule(0);
  }

  /** What stands in the table beside policy is known, so the table can be written. */
  get isStarted(): boolean {
    return this.#started;
  }

  /**
   * Puts policy into force, at once and in one transaction. Only when `isStarted`. @param state undefined: there is none.
   * @param change what of it is other than at the last call, when that succeeded.
   * @throws TwillError; then the kernel is as it was.
   */
  writePolicy(state: PolicyState | undefined, change?: PolicyChange): void {
    const patches =
      change && this.#policy !== undefined && !this.#tableDirty ? this.#rendering?.change(change) : undefined;
    this.#policy = state;
    const report = patches === undefined ? this.#table.apply(this.#wantedTable()) : this.#table.patch(patches);
    this.#count(report.writes);
    if (patches !== undefined) {
      this.#tidy.afterMany();
      return;
    }
    this.#tidy.afterBurst(Math.max(this.#reconciler.peers, state?.addresses.size ?? 0));
    this.#policyIsKnown = true;
    this.#tableDirty = false;
    this.#tableFailure = undefined;
    this.#watchTable();
  }

  /** What of the table the kernel refused last, each element by itself. Some dozens of trials that take no effect. */
  refusedElements(): readonly RefusedElement[] {
    return this.#table.refusedElements();
  }

  /** The kernel stays as it is: pods go on talking without us. */
  stop(): void {
    this.#tidy.stop();
    this.#watch.close();
    clearInterval(this.#resync);
    clearInterval(this.#tableCheck);
    clearTimeout(this.#timer);
  }

  #setMasquerade(masquerade: Masquerade | undefined): void {
    if (!this.#started || JSON.stringify(this.#masquerade) !== JSON.stringify(masquerade)) this.#tableDirty = true;
    this.#masquerade = masquerade;
  }

  /** One flush for all that is announced in one turn of the event loop. */
  #schedule(delay: number): void {
    const at = this.#options.clock.monotonic() + delay;
    if (!this.#started || at >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = at;
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#flush();
    }, delay);
  }

  #flush(): void {
    const before = JSON.stringify(this.problems);
    const wasSynced = this.synced;
    try {
      if (!this.#policyAlone) this.#reconcile();
      this.#failure = undefined;
      this.#lastSync = this.#options.clock.now();
    } catch (error) {
      this.#options.log.error("the kernel could not be read", { error });
      this.#failure = {
        severity: "error",
        subject: "kernel",
        message: describeError(error),
        remedy: "the agent tries again by itself; look at its log and at dmesg",
      };
      this.#schedule(retryMs);
    }
    if (this.#tableDirty && (this.#options.policy === undefined || this.#policyIsKnown)) this.#applyTable();
    const told = before === JSON.stringify(this.problems) && wasSynced === this.synced && !this.#untold;
    this.#untold = false;
    if (!told) this.#options.onChange();
  }

  #reconcile(): void {
    this.#report = this.#reconciler.flush();
    this.#count(this.#report.writes);
    if (this.#report.retryIn !== undefined) this.#schedule(Math.max(1, this.#report.retryIn));
  }

  #applyTable(): void {
    try {
      const report = this.#table.apply(this.#wantedTable());
      this.#count(report.writes);
      this.#tableDirty = false;
      this.#tableFailure = undefined;
      this.#watchTable();
    } catch (error) {
      this.#options.log.error("the nf_tables table could not be written", { error });
      this.#tableFailure = {
        severity: "error",
        subject: `nf_tables table ${twillTable.family} ${twillTable.table}`,
        message: describeError(error),
        remedy:
          (error instanceof TwillError ? error.remedy : undefined) ??
          "the agent tries again by itself; compare with: nft list ruleset",
      };
      this.#schedule(retryMs);
    }
  }

  /** One table, so that one transaction holds all that belongs together. */
  #wantedTable(): NftTableContent {
    const masquerade = masqueradeTable(this.#masquerade);
    if (this.#rendering === undefined || this.#policy === undefined) return masquerade;
    const policy = this.#rendering.table(this.#policy);
    return {
      table: masquerade.table,
      chains: [...masquerade.chains, ...policy.chains],
      rules: [...masquerade.rules, ...policy.rules],
      sets: [...masquerade.sets, ...policy.sets],
    };
  }

  #watchTable(): void {
    if (!this.#table.owned) this.#tableCheck ??= setInterval(() => this.#checkTable(), tableCheckMs);
  }

  #checkTable(): void {
    if (!this.#started || this.#table.owned) return;
    try {
      if (!this.#table.changedByOthers()) return;
    } catch (error) {
      this.#options.log.warn("nf_tables could not be read", { error });
    }
    this.#tableDirty = true;
    this.#schedule(0);
  }

  #count(writes: Readonly<Record<string, number>>): void {
    for (const [op, count] of Object.entries(writes)) this.#writes[op] = (this.#writes[op] ?? 0) + count;
  }
}

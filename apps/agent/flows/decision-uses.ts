import type { Clock } from "../../../src/base/clock.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import type { DecisionUse } from "../../../src/model/decision-use.ts";
import { type Direction, policyName } from "../../../src/model/policy.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import type { NftElement } from "../../../src/objects/nft.ts";
import { numberOfHostData } from "../../../src/objects/nft-data.ts";
import { twillTable } from "../../../src/render/masquerade.ts";
import { setNames } from "../../../src/render/policy/names.ts";

export interface DecisionUsesOptions {
  readonly nft: Pick<Nft, "elements">;
  /** Also of decisions that have gone a short while ago. */
  readonly decision: (number: number) => Decision | undefined;
  /** As events told it. */
  readonly lastHit: (number: number) => number | undefined;
  readonly clock: Clock;
}

interface Use {
  packets: bigint;
  bytes: bigint;
  /** Of the kernel's element, which begins at 0 when it is made anew. */
  before: { readonly packets: bigint; readonly bytes: bigint };
  changed: number | undefined;
}

/** Sums that never go down, whatever becomes of decisions. */
export interface PolicyTotals {
  readonly direction: Direction;
  readonly verdict: Decision["verdict"];
  /** Who decided, as people read it. */
  readonly policy: string;
  readonly packets: number;
  readonly bytes: number;
}

/** Asked oftener, the last answer is given again; so that 10,000 decisions cost no more than a fiftieth of the agent's time. */
const atMostEveryMs = 10_000;
const costShare = 50;

/** The kernel's own counters of each decision: exact, where events may be lost. */
export class DecisionUses {
  readonly #options: DecisionUsesOptions;
  readonly #uses = new Map<number, Use>();
  /** By direction, verdict and policy, of all decisions there ever were. */
  readonly #totals = new Map<
    string,
    { packets: bigint; bytes: bigint } & Pick<PolicyTotals, "direction" | "verdict" | "policy">
  >();
  #nextRead = Number.NEGATIVE_INFINITY;

  constructor(options: DecisionUsesOptions) {
    this.#options = options;
  }

  /** Of the decisions that the kernel has now. @throws TwillError. */
  all(): readonly DecisionUse[] {
    this.#read();
    const { decision: decisionOf, lastHit } = this.#options;
    return [...this.#uses].flatMap(([number, { packets, bytes, changed }]) => {
      const decision = decisionOf(number);
      if (decision === undefined) return [];
      const hit = Math.max(changed ?? 0, lastHit(number) ?? 0);
      const use = { number, decision, packets: Number(packets), bytes: Number(bytes) };
      return [hit === 0 ? use : { ...use, lastHit: hit }];
    });
  }

  /** The most taken first. @throws TwillError. */
  totals(): readonly PolicyTotals[] {
    this.#read();
    return [...this.#totals.values()]
      .toSorted((a, b) => Number(b.packets - a.packets))
      .map((total) => ({ ...total, packets: Number(total.packets), bytes: Number(total.bytes) }));
  }

  #read(): void {
    const { clock, nft } = this.#options;
    const began = clock.monotonic();
    if (began < this.#nextRead) return;
    const elements = nft.elements({ ...twillTable, set: setNames.verdicts });
    const now = clock.now();
    const gone = new Set(this.#uses.keys());
    for (const element of elements) {
      const number = this.#count(element, now);
      if (number !== undefined) gone.delete(number);
    }
    for (const number of gone) this.#uses.delete(number);
    const took = clock.monotonic() - began;
    this.#nextRead = began + Math.max(atMostEveryMs, took * costShare);
  }

  #count({ key, packets = 0n, bytes = 0n }: NftElement, now: number): number | undefined {
    if (key === "") return undefined;
    const number = numberOfHostData(key);
    const use = this.#uses.get(number) ?? {
      packets: 0n,
      bytes: 0n,
      before: { packets: 0n, bytes: 0n },
      changed: undefined,
    };
    const isFirst = !this.#uses.has(number);
    this.#uses.set(number, use);
    const isNew = packets < use.before.packets;
    const more = {
      packets: isNew ? packets : packets - use.before.packets,
      bytes: isNew ? bytes : bytes - use.before.bytes,
    };
    use.before = { packets, bytes };
    use.packets += more.packets;
    use.bytes += more.bytes;
    if (more.packets > 0n) {
      // What it had before the first look was taken at some time that nobody knows.
      if (!isFirst) use.changed = now;
      this.#add(number, more);
    }
    return number;
  }

  #add(number: number, more: { readonly packets: bigint; readonly bytes: bigint }): void {
    const decision = this.#options.decision(number);
    if (decision === undefined) return;
    const { direction, verdict } = decision;
    const policy = whoDecided(decision);
    const key = `${direction} ${verdict} ${policy}`;
    const total = this.#totals.get(key) ?? { direction, verdict, policy, packets: 0n, bytes: 0n };
    total.packets += more.packets;
    total.bytes += more.bytes;
    this.#totals.set(key, total);
  }
}

/** Without the rule's number: few enough for a label of a metric. */
function whoDecided({ reason }: Decision): string {
  switch (reason.by) {
    case "rule":
    case "broken":
    case "own-node":
      return policyName(reason.policy);
    case "tier":
      return `default of tier ${reason.tier}`;
    case "no-policy":
      return "none";
    case "unknown-endpoint":
      return "unknown pod";
  }
}

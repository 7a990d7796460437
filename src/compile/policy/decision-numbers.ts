import { TwillError } from "../../base/errors.ts";
import { type Decision, type DecisionNumber, type DecisionReason, decisionContent } from "../../model/policy-state.ts";

const greatest = 2 ** 31 - 1;

/**
 * Numbers for decisions. A connection bears the numbers of the decisions that let it pass, as long as it lives; so the number of a
 * decision that is no longer in use stays its own until `forget` hears that no connection bears it.
 */
export class DecisionNumbers {
  readonly #numbers = new Map<string, DecisionNumber>();
  readonly #decisions = new Map<DecisionNumber, Decision>();
  readonly #uses = new Map<DecisionNumber, number>();
  readonly #printed = new WeakMap<DecisionReason, Map<string, string>>();
  #last = 0;

  /** @param held what the kernel's tables and connections bear from the time before a restart. */
  constructor(held: ReadonlyMap<DecisionNumber, Decision> = new Map()) {
    for (const [number, decision] of held) {
      this.#numbers.set(decisionContent(decision), number);
      this.#decisions.set(number, decision);
      this.#last = Math.max(this.#last, number);
    }
  }

  /** What every number means that a connection may bear, in use or not. */
  get decisions(): ReadonlyMap<DecisionNumber, Decision> {
    return this.#decisions;
  }

  /** How many are out of use. */
  get unused(): number {
    return this.#decisions.size - this.#uses.size;
  }

  inUse(number: DecisionNumber): boolean {
    return this.#uses.has(number);
  }

  /** Counts one use more. @throws TwillError `exhausted` when all numbers are borne. */
  take(decision: Decision): DecisionNumber {
    const content = this.#contentOf(decision);
    const number = this.#numbers.get(content) ?? this.#add(content, decision);
    this.#uses.set(number, (this.#uses.get(number) ?? 0) + 1);
    return number;
  }

  release(number: DecisionNumber): void {
    const uses = this.#uses.get(number) ?? 0;
    if (uses > 1) this.#uses.set(number, uses - 1);
    else this.#uses.delete(number);
  }

  /**
   * Frees the numbers of unused decisions that no connection bears: to be called now and then after a look at all connections.
   * @param borne whether some connection may bear the number.
   */
  forget(borne: (number: DecisionNumber) => boolean): void {
    for (const [number, decision] of this.#decisions) {
      if (this.#uses.has(number) || borne(number)) continue;
      this.#decisions.delete(number);
      this.#numbers.delete(decisionContent(decision));
    }
  }

  /** A reason may name thousands of policies, and stand in thousands of rows: it is printed once. */
  #contentOf(decision: Decision): string {
    const { direction, verdict, log, reason } = decision;
    const variant = `${direction} ${verdict} ${log}`;
    const printed = this.#printed.get(reason) ?? new Map<string, string>();
    const content = printed.get(variant) ?? decisionContent(decision);
    this.#printed.set(reason, printed.set(variant, content));
    return content;
  }

  #add(content: string, decision: Decision): DecisionNumber {
    if (this.#decisions.size >= greatest) {
      throw new TwillError("exhausted", `all ${greatest} decision numbers are in use`, {
        operation: "number decision",
        remedy: "restart the agent",
      });
    }
    do this.#last = this.#last >= greatest ? 1 : this.#last + 1;
    while (this.#decisions.has(this.#last));
    this.#numbers.set(content, this.#last);
    this.#decisions.set(this.#last, decision);
    return this.#last;
  }
}

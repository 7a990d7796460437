import { describeElement, type RefusedElement } from "../../../src/apply/nft-refusal.ts";
import type { Address } from "../../../src/base/address.ts";
import { TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { PolicyChange, PolicyState } from "../../../src/model/policy-state.ts";
import { type LeftOut, withoutRefused } from "../../../src/render/policy/refused-rows.ts";

/** Where policy is written. */
export interface PolicyWriter {
  /** @throws TwillError; then the kernel is as it was. */
  writePolicy(state: PolicyState | undefined, change?: PolicyChange): void;
  /** What of the last call the kernel does not take, each thing by itself. */
  refusedElements(): readonly RefusedElement[];
}

export interface QuarantineOptions {
  readonly writer: () => PolicyWriter | undefined;
  /** Pods of this node without a row are cut off. */
  readonly cutsUnknown: boolean;
  /** Who has the address, as people call it. */
  readonly nameOf: (address: Address) => string;
  readonly log: Log;
}

/** What is refused only without something else that is refused shows in the next round. */
const rounds = 4;
/** As many names are said. */
const named = 3;

/**
 * Writes policy to the kernel. What the kernel does not take of it, is left out: whom it concerned is denied, the rest is in force. As long
 * as something is left out, each write begins with all of it again.
 */
export class Quarantine {
  readonly #options: QuarantineOptions;
  #problems: readonly Problem[] = [];

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** @throws TwillError when it is not about single rows, or when the rest would be looser; then the kernel is as it was. */
  write(state: PolicyState | undefined, change: PolicyChange | undefined): void {
    const writer = this.#options.writer();
    if (writer === undefined) return;
    try {
      writer.writePolicy(state, this.#problems.length === 0 ? change : undefined);
      this.#problems = [];
    } catch (error) {
      if (state === undefined || !(error instanceof TwillError)) throw error;
      this.#problems = this.#writeRest(writer, state, error);
      for (const { subject, message } of this.#problems) this.#options.log.error(message, { subject });
    }
  }

  /** @returns what is left out. @throws the given error when nothing can be. */
  #writeRest(writer: PolicyWriter, state: PolicyState, refusal: TwillError): Problem[] {
    const refused: RefusedElement[] = [];
    for (let round = 0; round < rounds; round++) {
      const found = writer.refusedElements();
      // What cannot be removed cannot be left out, either.
      if (found.length === 0 || found.some(({ op }) => op === "element.delete")) break;
      refused.push(...found);
      const rest = withoutRefused(state, refused, this.#options.cutsUnknown);
      if (rest === undefined) break;
      try {
        writer.writePolicy(rest.state);
        return rest.leftOut.map((left, index) => this.#problemOf(left, refused[index]?.error ?? refusal));
      } catch (error) {
        if (!(error instanceof TwillError)) throw error;
      }
    }
    throw refusal;
  }

  #problemOf({ row, policies, denied }: LeftOut, error: TwillError): Problem {
    const pods = [...new Set(denied.map(this.#options.nameOf))];
    return {
      severity: "error",
      subject: policies.length > 0 ? some(policies) : pods.length > 0 ? some(pods) : "policy",
      reason: "PolicyRefused",
      message: `the kernel does not take ${describeElement(row)}: ${error.describe()}; ${pods.length === 0 ? "no pod is concerned" : `denied for it: ${some(pods)}`}; all else is in force`,
      remedy:
        "change the policy or the pod and report what this says: the kernel should take it; each change tries again",
    };
  }
}

const some = (names: readonly string[]): string =>
  `${names.slice(0, named).join(", ")}${names.length > named ? ` and ${names.length - named} more` : ""}`;

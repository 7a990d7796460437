import { type Address, familyOf } from "../../src/base/address.ts";
import type { Flow, Hook } from "../../src/compile/policy/flow.ts";
import { type TableLookup, verdictOf } from "../../src/compile/policy/lookup.ts";
import { findEnd } from "../../src/insight/policy/end.ts";
import type { HeldRow, HeldRows } from "../../src/insight/policy/held-rows.ts";
import { type ModelPart, partOf } from "../../src/insight/policy/model-part.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import { decisionKey, type PolicyState } from "../../src/model/policy-state.ts";
import { elementKey, type NftElement } from "../../src/objects/nft.ts";
import { addressData, hostData, type NftData } from "../../src/objects/nft-data.ts";
import { twillTable } from "../../src/render/masquerade.ts";
import { setNames } from "../../src/render/policy/names.ts";
import { decisionElement, verdictElement } from "../../src/render/policy/rows.ts";

export interface PolicyQuestionsOptions {
  readonly node: string;
  readonly nft: Pick<Nft, "elements">;
  readonly policy: { readonly model: PolicyModel; readonly state: PolicyState | undefined };
  /** This machine's own, as the kernel has them. */
  readonly ownAddresses: () => ReadonlySet<Address>;
}

/** What `twill explain` asks of this node. */
export class PolicyQuestions {
  readonly #options: PolicyQuestionsOptions;

  constructor(options: PolicyQuestionsOptions) {
    this.#options = options;
  }

  /** What this agent knows of the ends that a person named. @throws TwillError as `findEnd`. */
  part(ends: readonly string[]): ModelPart {
    const { model } = this.#options.policy;
    return partOf(
      model,
      ends.flatMap((end) => findEnd(model, end).addresses),
    );
  }

  /** Which rows decide on a flow here, and whether the kernel has them. */
  rows(flow: Flow): HeldRows {
    const { node, policy } = this.#options;
    if (policy.state === undefined) return { node };
    const { egress, ingress } = verdictOf(policy.state, flow, this.#hook(flow));
    return {
      node,
      rows: [egress, ingress].flatMap((lookup) => (lookup === undefined ? [] : [this.#row(flow, lookup)])),
    };
  }

  #hook({ source, destination }: Flow): Hook {
    const own = this.#options.ownAddresses();
    return own.has(source) ? "output" : own.has(destination) ? "input" : "forward";
  }

  #row(flow: Flow, lookup: TableLookup): HeldRow {
    const { direction, decision, number } = lookup;
    const subject = direction === "egress" ? flow.source : flow.destination;
    const verdicts = this.#elements(setNames.verdicts);
    const held = verdicts.get(hostData(number));
    return {
      direction,
      decision,
      number,
      ...(held?.packets === undefined ? {} : { packets: Number(held.packets), bytes: Number(held.bytes ?? 0n) }),
      differences: [
        ...this.#wrongAddress(subject, lookup),
        ...this.#wrongDecision(flow, lookup),
        ...wrongVerdict(held, verdictElement(number, decision)),
      ],
    };
  }

  #wrongAddress(address: Address, { direction, group }: TableLookup): readonly string[] {
    const held = this.#elements(setNames.addresses[familyOf(address)]).get(addressData(address));
    if (held === undefined) return [`${address} is not in the kernel's map of addresses`];
    // Class, hints, ingress group, egress group: four words of 8 digits each.
    const at = direction === "ingress" ? 16 : 24;
    const is = typeof held.data === "string" ? held.data.slice(at, at + 8) : undefined;
    return is === hostData(group) ? [] : [`the kernel judges ${address} by other rules than the agent (${direction})`];
  }

  /** The first of the rows that are asked in order: one too many decides as wrongly as one too few. */
  #wrongDecision({ protocol }: Flow, { group, class: of, portClass, key, number }: TableLookup): readonly string[] {
    const decisions = this.#elements(setNames.decisions);
    const asked = [
      decisionKey(group, of, protocol, portClass),
      decisionKey(group, of, 0, 0),
      decisionKey(group, 0, protocol, portClass),
      decisionKey(group, 0, 0, 0),
    ];
    const found = asked.map((row) => decisions.get(decisionElement(row, number).key)).find((row) => row !== undefined);
    const wanted = decisionElement(key, number);
    if (found === undefined) return ["the kernel's map of decisions has no row for it"];
    return found.data === wanted.data ? [] : ["the kernel's map of decisions leads to another decision"];
  }

  #elements(set: string): ReadonlyMap<NftData | string, NftElement> {
    return new Map(this.#options.nft.elements({ ...twillTable, set }).map((element) => [elementKey(element), element]));
  }
}

function wrongVerdict(held: NftElement | undefined, wanted: NftElement): readonly string[] {
  if (held === undefined) return ["the kernel does not know the decision"];
  return Bun.deepEquals(held.data, wanted.data) ? [] : ["the kernel's verdict for the decision is another one"];
}

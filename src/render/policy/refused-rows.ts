import { type Address, type Family, familyOf } from "../../base/address.ts";
import { policyName } from "../../model/policy.ts";
import {
  type ClassNumber,
  type DecisionNumber,
  type DecisionReason,
  type GroupNumber,
  outsideClass,
  type PolicyState,
} from "../../model/policy-state.ts";
import { elementKey, type NftElement } from "../../objects/nft.ts";
import { addressOfData, type NftData, numberOfHostData } from "../../objects/nft-data.ts";
import { setNames } from "./names.ts";
import { hasSelf, networkElements, parseDecisionKey } from "./rows.ts";

/** An element that the kernel does not take, of a set of table `inet twill`. */
export interface RefusedRow {
  readonly set: string;
  readonly element: NftElement;
}

/** What a row was for. */
export interface LeftOut {
  readonly row: RefusedRow;
  /** By `policyName`: whose rules the row says. Empty: it is of no policy alone. */
  readonly policies: readonly string[];
  /** Pods that are denied without it, whatever their policies say. Another node's: what allows them by name, allows them no more. */
  readonly denied: readonly Address[];
}

/** What is to go, and who must be denied for it. */
interface Loss {
  readonly groups: ReadonlySet<GroupNumber>;
  readonly address?: Address;
  readonly network?: { readonly family: Family; readonly class: ClassNumber };
  readonly number?: DecisionNumber;
  readonly policies: readonly string[];
}

/**
 * The state without the rows that the kernel refuses, and nowhere looser. A missing row is no denial by itself: what is asked after it may
 * allow, and an address without its row is of another class. So each group that could decide otherwise for it loses all its decisions: who
 * has none is denied (evaluation.ts).
 * @param cutsUnknown pods of this node without a row are cut off (`closedInterfaces`).
 * @returns undefined when the rest cannot be had without being looser.
 */
export function withoutRefused(
  state: PolicyState,
  refused: readonly RefusedRow[],
  cutsUnknown: boolean,
): { readonly state: PolicyState; readonly leftOut: readonly LeftOut[] } | undefined {
  const losses = refused.map((row) => lossOf(state, row, cutsUnknown));
  if (!losses.every((loss) => loss !== undefined)) return undefined;
  const groups = new Set(losses.flatMap((loss) => [...loss.groups]));
  const addresses = new Set(losses.map(({ address }) => address));
  const numbers = new Set(losses.map(({ number }) => number));
  const isLost = (family: Family, of: ClassNumber) =>
    losses.some(({ network }) => network?.family === family && network.class === of);
  return {
    state: {
      addresses: new Map([...state.addresses].filter(([address]) => !addresses.has(address))),
      networks: state.networks.filter(({ first, class: of }) => !isLost(familyOf(first), of)),
      ports: new Map([...state.ports].filter(([, { group }]) => !groups.has(group))),
      decisions: new Map([...state.decisions].filter(([key]) => !groups.has(parseDecisionKey(key).group))),
      verdicts: new Map([...state.verdicts].filter(([number]) => !numbers.has(number))),
    },
    leftOut: losses.flatMap((loss, index) => {
      const row = refused[index];
      return row === undefined ? [] : [{ row, policies: loss.policies, denied: deniedBy(state, loss) }];
    }),
  };
}

function lossOf(state: PolicyState, { set, element }: RefusedRow, cutsUnknown: boolean): Loss | undefined {
  const { key } = element;
  // What stands for all others has no object.
  if (key === "") return undefined;
  for (const family of [4, 6] as const) {
    if (set === setNames.addresses[family] || set === setNames.selves[family])
      return lossOfAddress(state, addressOfData(key.slice(0, family === 4 ? 8 : 32) as NftData), cutsUnknown);
    if (set === setNames.networks[family]) return lossOfNetwork(state, family, element);
  }
  switch (set) {
    case setNames.verdicts:
      return lossOfVerdict(state, numberOfHostData(key));
    case setNames.decisions:
      return { groups: new Set([word(key, 1)]), policies: policiesOf(state, element) };
    case setNames.ports:
    case setNames.portRanges:
    case setNames.icmp:
      return { groups: new Set([word(key, 0)]), policies: [] };
    default:
      return undefined;
  }
}

function lossOfVerdict(state: PolicyState, number: DecisionNumber): Loss {
  const groups = new Set<GroupNumber>();
  for (const [key, of] of state.decisions) if (of === number) groups.add(parseDecisionKey(key).group);
  return { groups, number, policies: policiesBy(state.verdicts.get(number)?.reason) };
}

function lossOfAddress(state: PolicyState, address: Address, cutsUnknown: boolean): Loss | undefined {
  const row = state.addresses.get(address);
  if (row === undefined) return undefined;
  if (hasSelf(row)) return cutsUnknown ? { groups: new Set(), address, policies: [] } : undefined;
  const family = familyOf(address);
  // Which of the ranges it then falls into does not matter: whoever tells any of them apart is denied.
  const others = state.networks.filter(({ first }) => familyOf(first) === family).map(({ class: of }) => of);
  return { groups: groupsTelling(state, new Set([row.class, ...others])), address, policies: [] };
}

/** All ranges of its class go: those that touch are one element, and one range alone has no name in the state. */
function lossOfNetwork(state: PolicyState, family: Family, element: NftElement): Loss | undefined {
  const elements = networkElements(state.networks, family);
  const at = elements.findIndex((each) => elementKey(each) === elementKey(element));
  // An end has no data; its beginning stands before it.
  const data = elements[element.intervalEnd === true ? at - 1 : at]?.data;
  if (typeof data !== "string") return undefined;
  const of = numberOfHostData(data);
  return { groups: groupsTelling(state, new Set([of])), network: { family, class: of }, policies: [] };
}

/** Groups that have rows for one of these classes, and so may decide otherwise for another. */
function groupsTelling(state: PolicyState, classes: ReadonlySet<ClassNumber>): Set<GroupNumber> {
  const groups = new Set<GroupNumber>();
  for (const key of state.decisions.keys()) {
    const { group, class: of } = parseDecisionKey(key);
    if (of !== outsideClass && classes.has(of)) groups.add(group);
  }
  return groups;
}

const deniedBy = (state: PolicyState, { groups, address }: Loss): Address[] =>
  [...state.addresses].flatMap(([each, row]) =>
    each === address || groups.has(row.ingress) || groups.has(row.egress) ? [each] : [],
  );

function policiesOf(state: PolicyState, { data }: NftElement): readonly string[] {
  // A word of nothing, then the decision.
  const number = typeof data === "string" && data.length === 16 ? word(data, 1) : 0;
  return policiesBy(state.verdicts.get(number)?.reason);
}

function policiesBy(reason: DecisionReason | undefined): readonly string[] {
  if (reason === undefined) return [];
  if ("policy" in reason) return [policyName(reason.policy)];
  return reason.by === "tier" ? reason.isolatedBy.map(policyName) : [];
}

const word = (data: NftData, index: number): number =>
  numberOfHostData(data.slice(index * 8, index * 8 + 8) as NftData);

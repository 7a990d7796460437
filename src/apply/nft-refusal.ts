import { TwillError } from "../base/errors.ts";
import type { Nft, NftOperation } from "../kernel/nft.ts";
import { elementKey, type NftElement, type NftSetName } from "../objects/nft.ts";

/** An element that the kernel does not take, and what it says about it. */
export interface RefusedElement {
  readonly set: string;
  readonly element: NftElement;
  readonly op: "element.add" | "element.delete";
  readonly error: TwillError;
}

type ElementOperation = Extract<NftOperation, { readonly op: RefusedElement["op"] }>;

/** Each element as an operation of its own. */
const candidatesOf = (operations: readonly NftOperation[]): ElementOperation[] =>
  operations.flatMap((operation) =>
    "elements" in operation ? operation.elements.map((element) => ({ ...operation, elements: [element] })) : [],
  );

/**
 * Which elements make the kernel refuse a transaction, by halves. Every trial ends with an operation that no kernel can carry out,
 * so that it tells what it would have refused, and does nothing.
 * @returns in the order of the operations; empty when the refusal is about something else.
 */
export function refusedElements(nft: Nft, operations: readonly NftOperation[], atMost: number): RefusedElement[] {
  const candidates = candidatesOf(operations);
  const refused = new Map<ElementOperation, TwillError>();
  const attempt = (chosen: ReadonlySet<ElementOperation>): TwillError | undefined =>
    trial(nft, withElements(operations, chosen));
  if (attempt(new Set()) !== undefined) return [];
  /** `good` is taken by the kernel; what of `rest` is not? */
  const search = (
    good: readonly ElementOperation[],
    rest: readonly ElementOperation[],
  ): readonly ElementOperation[] => {
    if (rest.length === 0 || refused.size >= atMost) return good;
    const together = [...good, ...rest];
    const error = attempt(new Set(together));
    if (error === undefined) return together;
    const [only] = rest;
    if (rest.length === 1 && only !== undefined) {
      refused.set(only, error);
      return good;
    }
    const middle = rest.length >> 1;
    return search(search(good, rest.slice(0, middle)), rest.slice(middle));
  };
  search([], candidates);
  return [...refused].flatMap(([{ op, set, elements }, error]) =>
    elements.map((element) => ({ op, set: set.set, element, error })),
  );
}

/** The operations, in their order, with none but the chosen elements. */
function withElements(operations: readonly NftOperation[], chosen: ReadonlySet<ElementOperation>): NftOperation[] {
  const kept = new Map<string, NftElement[]>();
  const place = (op: string, set: NftSetName): string => `${op} ${set.family} ${set.table} ${set.set}`;
  for (const { op, set, elements } of chosen) {
    const list = kept.get(place(op, set));
    if (list === undefined) kept.set(place(op, set), [...elements]);
    else list.push(...elements);
  }
  return operations.flatMap((operation): NftOperation[] => {
    if (!("elements" in operation)) return [operation];
    const key = place(operation.op, operation.set);
    const elements = kept.get(key);
    // The first operation of a set takes them all.
    kept.delete(key);
    return elements === undefined ? [] : [{ ...operation, elements }];
  });
}

/** @returns what the kernel refuses of it; undefined: nothing. @throws TwillError when it could not be asked. */
function trial(nft: Nft, operations: readonly NftOperation[]): TwillError | undefined {
  const at = { family: "inet", table: "twill-trial-that-does-not-exist" } as const;
  try {
    nft.transaction([...operations, { op: "set.delete", set: { ...at, set: "none" } }]);
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    if (error.object?.includes(at.table) === true) return undefined;
    if (error.code === "conflict" || error.code === "unavailable") throw error;
    return error;
  }
  throw new TwillError("internal", "the kernel deleted a set of a table that does not exist");
}

export const describeElement = ({ set, element }: Pick<RefusedElement, "set" | "element">): string =>
  `element ${elementKey(element) || "*"} of ${set}`;

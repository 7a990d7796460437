import type { NftOperation } from "../kernel/nft.ts";
import type { NftChain, NftSet, NftSetContent, NftSetRole, NftTable } from "../objects/nft.ts";
import { diffRules, type HeldRule, type KeyedRule } from "./nft-rule-diff.ts";
import {
  additionOf,
  diffElements,
  type Elements,
  elementsByKey,
  inOrder,
  isSameSet,
  nameOf,
  removalOf,
  strategyFor,
} from "./nft-set-diff.ts";

/** A table as wanted, ready to be compared. */
export interface WantedTable {
  readonly table: NftTable;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly rules: ReadonlyMap<string, readonly KeyedRule[]>;
  readonly sets: ReadonlyMap<string, WantedSet>;
}

export interface WantedSet {
  readonly set: NftSet;
  readonly elements: Elements;
  readonly role?: NftSetRole;
}

/** A table as it stands in the kernel. */
export interface HeldTable {
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly rules: ReadonlyMap<string, readonly HeldRule[]>;
  readonly sets: ReadonlyMap<string, { readonly set: NftSet; readonly elements: Elements }>;
}

export const emptyTable: HeldTable = { chains: new Map(), rules: new Map(), sets: new Map() };

/**
 * One transaction that turns `held` into `wanted`. The one order of all changes: removals reverse what additions follow,
 *
 *   rules → sets → elements → chains,   then   chains → sets → elements → rules
 *
 * for a rule refers to sets and chains, and an element of a verdict map to chains. Packets see all of it at once.
 * @returns "rebuild" when a chain that others may jump to would have to become a base chain or the reverse: then the whole
 * table is made anew.
 */
export function diffTable(held: HeldTable, wanted: WantedTable): NftOperation[] | "rebuild" {
  const at = { family: wanted.table.family, table: wanted.table.name };
  const chains = diffChains(held.chains, wanted.chains);
  if (chains === "rebuild") return "rebuild";
  const sets = diffSets(held, wanted);

  const removeRules: NftOperation[] = [];
  const addRules: NftOperation[] = [];
  for (const chain of chains.gone) {
    if ((held.rules.get(chain) ?? []).length > 0) removeRules.push({ op: "chain.flush", ...at, chain });
  }
  for (const [chain, rules] of wanted.rules) {
    const standing = chains.gone.includes(chain) ? [] : (held.rules.get(chain) ?? []);
    const kept = standing.map((rule) => (rule.sets.some((set) => sets.gone.has(set)) ? { ...rule, key: "" } : rule));
    const { remove, add } = diffRules({ ...at, chain }, kept, rules);
    removeRules.push(...remove);
    addRules.push(...add);
  }
  return [
    ...removeRules,
    ...[...sets.gone].map((set): NftOperation => ({ op: "set.delete", set: { ...at, set } })),
    ...sets.remove,
    ...chains.gone.map((chain): NftOperation => ({ op: "chain.delete", ...at, chain })),
    ...chains.add.map((chain): NftOperation => ({ op: "chain.add", chain })),
    ...sets.create,
    ...sets.add,
    ...addRules,
  ];
}

/** What acts on no packet until a rule comes that refers to it. */
const isInert = (operation: NftOperation): boolean =>
  operation.op === "set.add" ||
  operation.op === "element.add" ||
  (operation.op === "chain.add" && operation.chain.base === undefined);

/**
 * For a kernel that takes only small transactions from us: first, in as many as it takes, what nothing refers to yet; then
 * the rest at once. undefined when something of it is in use already, so that only all at once would do.
 */
export function inStages(operations: readonly NftOperation[]): readonly [NftOperation[], NftOperation[]] | undefined {
  const created = new Set(operations.flatMap((operation) => (operation.op === "set.add" ? [operation.set.name] : [])));
  const gone = operations.some(({ op }) => op === "set.delete" || op === "chain.delete" || op === "table.delete");
  const used = operations.some((operation) => operation.op === "element.add" && !created.has(operation.set.set));
  if (gone || used) return undefined;
  return [operations.filter(isInert), operations.filter((operation) => !isInert(operation))];
}

function diffChains(
  held: ReadonlyMap<string, NftChain>,
  wanted: ReadonlyMap<string, NftChain>,
): { readonly gone: string[]; readonly add: NftChain[] } | "rebuild" {
  const gone = [...held.keys()].filter((name) => !wanted.has(name));
  const add: NftChain[] = [];
  for (const [name, chain] of wanted) {
    const found = held.get(name);
    if (found === undefined) add.push(chain);
    else if ((found.base === undefined) !== (chain.base === undefined)) return "rebuild";
    else if (found.base !== undefined && chain.base !== undefined && !Bun.deepEquals(found.base, chain.base)) {
      // Of a base chain only the policy changes in place. Nobody can jump to it, so it can be made anew.
      const { policy: _, ...place } = found.base;
      const { policy: __, ...wantedPlace } = chain.base;
      if (!Bun.deepEquals(place, wantedPlace)) gone.push(name);
      add.push(chain);
    }
  }
  return { gone, add };
}

interface SetChanges {
  /** Deleted; those still wanted are in `create` again. */
  readonly gone: ReadonlySet<string>;
  readonly create: readonly NftOperation[];
  readonly remove: readonly NftOperation[];
  readonly add: readonly NftOperation[];
}

function diffSets(held: HeldTable, wanted: WantedTable): SetChanges {
  const gone = new Set<string>();
  const create: NftOperation[] = [];
  const remove: NftOperation[] = [];
  const add: NftOperation[] = [];
  for (const name of held.sets.keys()) if (!wanted.sets.has(name)) gone.add(name);
  for (const [name, { set, elements }] of wanted.sets) {
    const found = held.sets.get(name);
    const anew = (): void => {
      if (found !== undefined) gone.add(name);
      create.push({ op: "set.add", set });
      add.push(...additionOf(nameOf(set), inOrder(set, elements.values())));
    };
    if (found === undefined || !isSameSet(found.set, set)) {
      anew();
      continue;
    }
    // Rules fill dynamic sets; what is in them is not ours to judge.
    if (set.dynamic === true || found.elements === elements) continue;
    const changes = diffElements(found.elements, elements);
    if (changes.remove.length === 0 && changes.add.length === 0) continue;
    switch (strategyFor(set, changes)) {
      case "replace":
        anew();
        break;
      case "elements":
        remove.push(...removalOf(nameOf(set), changes.remove));
        add.push(...additionOf(nameOf(set), changes.add));
    }
  }
  return { gone, create, remove, add };
}

/** Elements by key, for a table that comes as lists. */
export const setContents = (sets: readonly NftSetContent[]): WantedTable["sets"] =>
  new Map(sets.map(({ set, elements, ...role }) => [set.name, { set, elements: elementsByKey(elements), ...role }]));

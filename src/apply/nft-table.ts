import { isCode, TwillError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { EINVAL, EMSGSIZE, EOPNOTSUPP } from "../kernel/errno.ts";
import type { Nft, NftOperation, TransactionOptions } from "../kernel/nft.ts";
import {
  elementKey,
  type NftElement,
  type NftFamily,
  type NftSet,
  type NftSetContent,
  type NftTableContent,
} from "../objects/nft.ts";
import { epochSetOf, needsEpoch, nextEpoch } from "./nft-epoch.ts";
import { type RefusedElement, refusedElements } from "./nft-refusal.ts";
import { type HeldRule, heldRule, type KeyedRule, ruleKey, setsOf } from "./nft-rule-diff.ts";
import {
  additionOf,
  type ElementChanges,
  type Elements,
  elementsByKey,
  isSameElement,
  isSameSet,
  nameOf,
  removalOf,
} from "./nft-set-diff.ts";
import {
  diffTable,
  emptyTable,
  type HeldTable,
  inStages,
  setContents,
  type WantedSet,
  type WantedTable,
} from "./nft-table-diff.ts";

/** What a call did. No writes: the kernel held it already. */
export interface NftReport {
  /** Operations by name. */
  readonly writes: Readonly<Record<string, number>>;
  readonly transactions: number;
  /** The table was read back first. */
  readonly read: boolean;
}

/** Of one set. Elements that are there with other data are replaced. */
export interface NftSetPatch {
  readonly set: string;
  readonly put?: readonly NftElement[];
  /** Keys, as `elementKey` makes them. Those that are not there do not matter. */
  readonly remove?: readonly string[];
}

export interface NftTableOptions {
  readonly nft: Nft;
  readonly log: Log;
  readonly family: NftFamily;
  readonly name: string;
}

/** As many times is a change begun again when others keep changing nf_tables in between. */
const attempts = 5;

/**
 * Keeps one nf_tables table as wanted, in transactions that hold only what differs. What was applied is kept in memory, so
 * that one element among a hundred thousand is one small transaction and nothing is listed. The kernel is read back at the
 * start, and when it may hold something else than remembered.
 *
 * Where the kernel has table owner and persist (6.9), the table is ours alone while our socket lives: nobody can change it
 * behind our back, and nothing needs to be watched. Elsewhere each transaction insists on the generation of the last, and
 * `changedByOthers`, called now and then, tells of an edit or `nft flush ruleset`. A listener for nf_tables' notifications is not
 * an alternative: it slows big loads nearly four times, and there is no group with the generations alone.
 */
export class NftTableKeeper {
  readonly #nft: Nft;
  readonly #log: Log;
  readonly #family: NftFamily;
  readonly #name: string;
  #wanted: WantedTable | undefined;
  /** By set: the list that was applied, indexed, until a patch parts the two. */
  readonly #indexes = new Map<string, { readonly list: readonly NftElement[]; readonly map: Elements }>();
  /** What the kernel holds; undefined when it must be read. Element maps are shared with #wanted once they agree. */
  #held: HeldTable | undefined;
  /** Of the last transaction or read. Meaningless while we own the table. */
  #generation = 0;
  #owned = false;
  /** What the kernel held before the last transaction, and of that what was refused. */
  #before: HeldTable | undefined;
  #refused: readonly NftOperation[] = [];

  constructor(options: NftTableOptions) {
    this.#nft = options.nft;
    this.#log = options.log;
    this.#family = options.family;
    this.#name = options.name;
  }

  /** The table is ours alone, by owner and persist. */
  get owned(): boolean {
    return this.#owned;
  }

  /**
   * The whole table. A list of elements that is given again must not have been changed inside.
   * @throws TwillError: nothing was changed, or, only where one transaction cannot hold it, sets were added that no rule
   * refers to. The next call reads the kernel and goes on.
   */
  apply(content: NftTableContent): NftReport {
    const sets = new Map(content.sets.map((each) => [each.set.name, { ...each, elements: this.#indexed(each) }]));
    for (const name of this.#indexes.keys()) if (!sets.has(name)) this.#indexes.delete(name);
    this.#wanted = { ...wantedTable(content), sets };
    return this.#sync();
  }

  /** The same list again is the same map again, which is then not compared element by element. */
  #indexed({ set, elements }: NftSetContent): Elements {
    const known = this.#indexes.get(set.name);
    if (known?.list === elements) return known.map;
    const map = elementsByKey(elements);
    this.#indexes.set(set.name, { list: elements, map });
    return map;
  }

  /** Applies again what was wanted last: after `changedByOthers`, or after an error. Nothing before the first `apply`. */
  reapply(): NftReport {
    return this.#wanted === undefined ? nothing : this.#sync();
  }

  /**
   * Changes elements of sets of the table that was applied last, all in one transaction. Costs in proportion to the change where
   * the sets are exact. A set that would hold more than it declares is declared anew, larger. The next `apply` must contain the
   * change.
   * @throws TwillError; `not-found` when no such set was applied. When the kernel refused it (`refusedElements` says what of it),
   * neither the kernel nor what is wanted has changed. When it is unknown what became of it, it stays wanted.
   */
  patch(patches: readonly NftSetPatch[]): NftReport {
    const before = this.#wanted;
    const sets = patches.map((patch) => {
      const wanted = before?.sets.get(patch.set);
      if (wanted !== undefined) return { patch, wanted };
      throw new TwillError("not-found", `no set ${patch.set} was applied`, { operation: "patch nf_tables set" });
    });
    for (const { set } of patches) this.#indexes.delete(set);
    if (!sets.every(({ patch, wanted }) => this.#isDirect(patch, wanted))) return this.#patchBySync(sets);
    const changes = sets.map(({ patch, wanted }) => ({ ...wanted, ...changeOf(patch, wanted.elements) }));
    const operations = [
      ...changes.flatMap(({ set, remove }) => removalOf(nameOf(set), remove)),
      ...changes.flatMap(({ set, add }) => additionOf(nameOf(set), add)),
    ];
    // Shared by #held and #wanted, and changed before the kernel is.
    for (const { elements, remove, add } of changes) change(elements, remove, add);
    try {
      const transactions = this.#commit(operations, needsEpoch(changes));
      return reportOf(operations, transactions, false);
    } catch (error) {
      if (isCode(error, "conflict")) return this.#sync();
      if (isRefusal(error)) {
        for (const { elements, remove, add } of changes) change(elements, add, remove);
        this.#held = this.#before;
      }
      throw error;
    }
  }

  /** Its elements can be changed one by one, from what the kernel holds. */
  #isDirect({ set: name, put = [] }: NftSetPatch, { set, elements }: WantedSet): boolean {
    if (this.#held?.sets.get(name)?.elements !== elements || set.interval === true) return false;
    return set.size === undefined || elements.size + put.length <= set.size;
  }

  #patchBySync(changes: readonly { readonly patch: NftSetPatch; readonly wanted: WantedSet }[]): NftReport {
    const before = this.#wanted;
    if (before === undefined) return nothing;
    const sets = new Map(before.sets);
    for (const { patch, wanted } of changes) {
      const elements = new Map(wanted.elements);
      const { remove, add } = changeOf(patch, elements);
      if (remove.length === 0 && add.length === 0) continue;
      change(elements, remove, add);
      sets.set(patch.set, { ...wanted, set: roomy(wanted.set, elements.size), elements });
    }
    this.#wanted = { ...before, sets };
    try {
      return this.#sync();
    } catch (error) {
      if (isRefusal(error)) this.#wanted = before;
      throw error;
    }
  }

  /**
   * Which elements of the transaction that was refused last are to blame: tried in transactions that take no effect. Empty when it is
   * none of them.
   * @param atMost so many are looked for; each costs about as many trials as the number of elements has binary digits.
   */
  refusedElements(atMost = 32): readonly RefusedElement[] {
    return refusedElements(this.#nft, this.#refused, atMost);
  }

  /** Whether the table may have been changed by somebody else; then the next `reapply` reads it. One small request. */
  changedByOthers(): boolean {
    if (this.#held === undefined) return this.#wanted !== undefined;
    if (this.#owned || this.#nft.generation() === this.#generation) return false;
    this.#held = undefined;
    return true;
  }

  /** The next `reapply` or `apply` reads the kernel, whatever is remembered. */
  resync(): void {
    this.#held = undefined;
  }

  /** Deletes the table, if there is one. @throws TwillError `denied` while another process owns it. */
  remove(): NftReport {
    this.#wanted = undefined;
    this.#indexes.clear();
    this.#held = undefined;
    this.#owned = false;
    const exists = this.#nft.tables(this.#family).some(({ name }) => name === this.#name);
    if (!exists) return nothing;
    const operation: NftOperation = { op: "table.delete", family: this.#family, table: this.#name };
    this.#nft.transaction([operation]);
    return reportOf([operation], 1, false);
  }

  #sync(): NftReport {
    let last: unknown;
    for (let attempt = 0; attempt < attempts; attempt++) {
      try {
        return this.#syncOnce();
      } catch (error) {
        if (!isCode(error, "conflict")) throw error;
        last = error;
      }
    }
    throw last;
  }

  #syncOnce(): NftReport {
    const wanted = this.#wanted;
    if (wanted === undefined) return nothing;
    const read = this.#held === undefined;
    const claim = read ? this.#claim() : [];
    const held = this.#withHandles(this.#held ?? this.#read(), wanted);
    this.#adopt(held, wanted);
    const difference = diffTable(held, wanted);
    const operations = difference === "rebuild" ? this.#rebuild(wanted) : difference;
    this.#held = held;
    const transactions = this.#commit(operations, difference !== "rebuild");
    this.#held = settled(wanted, held, operations);
    return reportOf([...claim, ...operations], transactions + claim.length, read);
  }

  /**
   * Makes the table, or takes it over, before it is read: from then on nobody else can change it.
   * @returns what was done.
   */
  #claim(): NftOperation[] {
    const found = this.#nft.tables(this.#family).find(({ name }) => name === this.#name);
    const claim = (owned: boolean): NftOperation[] => {
      const flags = owned ? { owner: true, persist: true } : {};
      const operation: NftOperation = { op: "table.add", table: { family: this.#family, name: this.#name, ...flags } };
      this.#nft.transaction([operation]);
      this.#owned = owned;
      return [operation];
    };
    if (found?.owner === true && found.ownerPort !== this.#nft.port) {
      throw new TwillError("denied", `another process (netlink port ${found.ownerPort}) owns it`, {
        operation: "change nf_tables table",
        object: `${this.#family} ${this.#name}`,
        remedy: "stop the other twill agent; if none runs, wait until its process has ended",
      });
    }
    this.#owned = found?.owner === true;
    if (this.#owned) return [];
    // Left behind by an agent that has gone.
    if (found?.persist === true) return claim(true);
    // Made without the flags: it cannot be given them later. Somebody may have put it to sleep.
    if (found !== undefined) return found.dormant === true ? claim(false) : [];
    try {
      return claim(true);
    } catch (error) {
      if (!isUnknownFlag(error)) throw error;
      return claim(false);
    }
  }

  #read(): HeldTable {
    this.#generation = this.#nft.generation();
    const content = this.#nft.read(this.#family, this.#name);
    if (content !== undefined) return heldTable(content);
    throw new TwillError("conflict", "the table was deleted meanwhile", {
      operation: "read nf_tables table",
      object: `${this.#family} ${this.#name}`,
    });
  }

  /** Handles of rules are learnt only from reading, and are needed only in chains that differ. */
  #withHandles(held: HeldTable, wanted: WantedTable): HeldTable {
    const unread = [...held.rules].filter(([chain, standing]) => {
      if (standing.every(({ handle }) => handle !== undefined)) return false;
      const now = wanted.rules.get(chain) ?? [];
      const touched = standing.some(({ sets }) => sets.length > 0);
      return touched || standing.length !== now.length || !standing.every(({ key }, at) => key === now[at]?.key);
    });
    if (unread.length === 0) return held;
    const at = { family: this.#family, table: this.#name };
    const [[only = ""] = []] = unread;
    const found = this.#nft.rules(unread.length === 1 ? { ...at, chain: only } : at);
    const byChain = Map.groupBy(found, ({ chain }) => chain);
    const read = unread.map(([chain]) => [chain, (byChain.get(chain) ?? []).map(heldRule)] as const);
    return { ...held, rules: new Map([...held.rules, ...read]) };
  }

  /** What is not the caller's to say: the epoch; and what has grown stays as large, for with another size it would be made anew. */
  #adopt(held: HeldTable, wanted: WantedTable): void {
    const sets = wanted.sets as Map<string, WantedSet>;
    for (const [name, { set, elements, ...role }] of wanted.sets) {
      const found = held.sets.get(name);
      if (found === undefined || !isSameSet(found.set, set)) continue;
      if (role.role === "epoch") sets.set(name, { set, elements: found.elements, ...role });
      else if (found.set.size !== set.size)
        sets.set(name, { set: { ...set, ...sizeOf(found.set) }, elements, ...role });
    }
  }

  #rebuild(wanted: WantedTable): NftOperation[] {
    const flags = this.#owned ? { owner: true, persist: true } : {};
    const inside = diffTable(emptyTable, wanted);
    if (inside === "rebuild") throw new TwillError("internal", "an empty table cannot need to be rebuilt");
    return [
      { op: "table.delete", family: this.#family, table: this.#name },
      { op: "table.add", table: { family: this.#family, name: this.#name, ...flags } },
      ...inside,
    ];
  }

  /**
   * On failure what the kernel holds counts as unknown.
   * @param anew with a new epoch, where the table has one and keeps it.
   * @returns how many transactions it took.
   */
  #commit(changes: readonly NftOperation[], anew: boolean): number {
    if (changes.length === 0) return 0;
    const set = anew && this.#wanted !== undefined ? epochSetOf(this.#wanted) : undefined;
    const kept = set !== undefined && this.#held?.sets.get(set.set.name)?.elements === set.elements;
    const epoch = set !== undefined && kept ? nextEpoch(set) : undefined;
    const operations = epoch === undefined ? changes : [...changes, ...epoch.operations];
    if (this.#log.enabled("debug")) {
      for (const operation of operations) this.#log.debug("nf_tables", { operation: brief(operation) });
    }
    const held = this.#held;
    this.#before = held;
    this.#held = undefined;
    const guard = this.#owned ? {} : { generation: this.#generation };
    try {
      const transactions = this.#transact(operations, guard);
      this.#held = held;
      if (set !== undefined && epoch !== undefined) change(set.elements, [...set.elements.values()], epoch.elements);
      return transactions;
    } catch (error) {
      if (isRefusal(error)) this.#refused = operations;
      throw error;
    }
  }

  #transact(operations: readonly NftOperation[], guard: TransactionOptions): number {
    try {
      this.#nft.transaction(operations, guard);
      // A commit adds one, and skips 0.
      this.#generation = (this.#generation + 1) >>> 0 || 1;
      return 1;
    } catch (error) {
      const stages = isCode(error, "exhausted") && error.errno === EMSGSIZE ? inStages(operations) : undefined;
      if (stages === undefined) throw error;
      const [inert, rest] = stages;
      this.#nft.transaction(inert, { ...guard, separable: true });
      this.#nft.transaction(rest);
      this.#generation = this.#nft.generation();
      return 2;
    }
  }
}

const nothing: NftReport = { writes: {}, transactions: 0, read: false };

const isUnknownFlag = (error: unknown): boolean =>
  error instanceof TwillError &&
  (error.errno === EOPNOTSUPP || error.errno === EINVAL) &&
  error.operation === "add nf_tables table";

function wantedTable(content: NftTableContent): Omit<WantedTable, "sets"> {
  const rules = new Map<string, KeyedRule[]>(content.chains.map(({ name }) => [name, []]));
  for (const rule of content.rules) {
    const chain = rules.get(rule.chain);
    if (chain === undefined)
      throw new TwillError("internal", `a rule is for chain ${rule.chain}, which the table has not`);
    chain.push({ ...rule, key: ruleKey(rule) });
  }
  return {
    table: content.table,
    chains: new Map(content.chains.map((chain) => [chain.name, chain])),
    rules,
  };
}

/** What makes the table, all of it, where there is none. */
export function tableOperations(content: NftTableContent): NftOperation[] {
  const inside = diffTable(emptyTable, { ...wantedTable(content), sets: setContents(content.sets) });
  if (inside === "rebuild") throw new TwillError("internal", "an empty table cannot need to be rebuilt");
  return [{ op: "table.add", table: content.table }, ...inside];
}

function heldTable(content: NftTableContent): HeldTable {
  const rules = new Map<string, HeldRule[]>(content.chains.map(({ name }) => [name, []]));
  for (const rule of content.rules) rules.get(rule.chain)?.push(heldRule(rule));
  return {
    chains: new Map(content.chains.map((chain) => [chain.name, chain])),
    rules,
    sets: setContents(content.sets),
  };
}

/** The kernel holds what was wanted. Of chains whose rules changed the handles are no longer known. */
function settled(wanted: WantedTable, held: HeldTable, operations: readonly NftOperation[]): HeldTable {
  const rebuilt = operations.some(({ op }) => op === "table.delete");
  const touched = new Set(
    operations.flatMap((operation) => {
      if (operation.op === "rule.add") return [operation.rule.chain];
      return "chain" in operation && typeof operation.chain === "string" ? [operation.chain] : [];
    }),
  );
  const rules = new Map<string, readonly HeldRule[]>();
  for (const [chain, now] of wanted.rules) {
    const before = rebuilt || touched.has(chain) ? undefined : held.rules.get(chain);
    rules.set(chain, before ?? now.map((rule) => ({ key: rule.key, sets: setsOf(rule) })));
  }
  return { chains: wanted.chains, rules, sets: wanted.sets };
}

/** Removals and additions; a key whose data changes is in both. */
function changeOf({ put = [], remove: gone = [] }: NftSetPatch, elements: Elements): ElementChanges {
  const remove: NftElement[] = [];
  const add: NftElement[] = [];
  const removed = new Set(gone);
  for (const key of removed) {
    const found = elements.get(key);
    if (found !== undefined) remove.push(found);
  }
  for (const element of put) {
    const key = elementKey(element);
    const found = removed.has(key) ? undefined : elements.get(key);
    if (found !== undefined && isSameElement(found, element)) continue;
    if (found !== undefined) remove.push(found);
    add.push(element);
  }
  return { remove, add };
}

function change(elements: Elements, remove: readonly NftElement[], add: readonly NftElement[]): void {
  const map = elements as Map<string, NftElement>;
  for (const element of remove) map.delete(elementKey(element));
  for (const element of add) map.set(elementKey(element), element);
}

const sizeOf = ({ size }: NftSet): { readonly size?: number } => (size === undefined ? {} : { size });

/** The set, declared twice as large as often as it takes. */
function roomy(set: NftSet, count: number): NftSet {
  if (set.size === undefined || count <= set.size) return set;
  let size = set.size;
  while (size < count) size *= 2;
  return { ...set, size };
}

/** The kernel has understood the transaction and done nothing of it. */
const isRefusal = (error: unknown): boolean => !isCode(error, "conflict") && !isCode(error, "unavailable");

function reportOf(operations: readonly NftOperation[], transactions: number, read: boolean): NftReport {
  const writes: Record<string, number> = {};
  for (const { op } of operations) writes[op] = (writes[op] ?? 0) + 1;
  return { writes, transactions, read };
}

/** For the log: of big loads the number of elements alone. */
const brief = (operation: NftOperation): object =>
  "elements" in operation && operation.elements.length > 8
    ? { ...operation, elements: operation.elements.length }
    : operation;

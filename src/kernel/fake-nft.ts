import { TwillError } from "../base/errors.ts";
import {
  elementKey,
  type NftBase,
  type NftChain,
  type NftElement,
  type NftFamily,
  type NftRule,
  type NftSet,
  type NftSetName,
  type NftTable,
  type NftTableContent,
} from "../objects/nft.ts";
import { dataLength } from "../objects/nft-data.ts";
import type { NftExpression, NftVerdict } from "../objects/nft-expression.ts";
import type { RulePlace } from "../wire/nft/rule.ts";
import { EBUSY, EEXIST, EINVAL, ENFILE, ENOENT, EOPNOTSUPP, EPERM, errnoError } from "./errno.ts";
import type { Nft, NftCounters, NftOperation, RuleFilter, TransactionOptions } from "./nft.ts";
import { describeNftOperation } from "./nft-operation.ts";

const ERESTART = 85;
/** NFT_JUMP_STACK_SIZE exceeded: how a circle shows since 6.x, where nf_tables follows the jumps of every base chain. */
const EMLINK = 31;

interface FakeTable {
  table: NftTable;
  readonly chains: Map<string, { chain: NftChain; rules: NftRule[] }>;
  readonly sets: Map<string, { set: NftSet; elements: Map<string, NftElement> }>;
}

/** What the kernel of a fake machine holds: give one to several FakeNft to have several sockets. */
export class FakeRuleset {
  tables = new Map<string, FakeTable>();
  generation = 1;
  nextHandle = 1;
  nextPort = 1001;
}

/** nf_tables in memory, which refuses what the kernel refuses, with the kernel's errno (see the contract suite). */
export class FakeNft implements Nft {
  readonly port: number;
  readonly #ruleset: FakeRuleset;
  readonly #features: { readonly persist: boolean };
  readonly #writes: Record<string, number> = {};
  #transactions = 0;
  #failures = 0;
  #dumps = 0;

  /** @param features.persist false: a kernel before 6.9. */
  constructor(ruleset = new FakeRuleset(), features: { readonly persist: boolean } = { persist: true }) {
    this.#ruleset = ruleset;
    this.#features = features;
    this.port = ruleset.nextPort++;
  }

  get counters(): NftCounters {
    return {
      writes: { ...this.#writes },
      transactions: this.#transactions,
      failures: this.#failures,
      dumps: this.#dumps,
      retriedDumps: 0,
    };
  }

  transaction(operations: readonly NftOperation[], options: TransactionOptions = {}): void {
    if (operations.length === 0) return;
    this.#transactions++;
    if (options.generation !== undefined && options.generation !== this.#ruleset.generation) {
      this.#failures++;
      throw new TwillError("conflict", "somebody else changed nf_tables meanwhile", { errno: ERESTART });
    }
    const before = structuredClone(this.#ruleset.tables);
    for (const operation of operations) {
      const errno = this.#run(operation);
      if (errno === 0) continue;
      this.#ruleset.tables = before;
      this.#failures++;
      throw errnoError(errno, describeNftOperation(operation));
    }
    this.#ruleset.generation++;
    for (const { op } of operations) this.#writes[op] = (this.#writes[op] ?? 0) + 1;
  }

  #run(operation: NftOperation): number {
    switch (operation.op) {
      case "table.add":
        return this.#addTable(operation.table);
      case "table.delete":
        return this.#within(operation.family, operation.table, () => {
          this.#ruleset.tables.delete(`${operation.family} ${operation.table}`);
          return 0;
        });
      case "chain.add":
        return this.#within(operation.chain.family, operation.chain.table, (table) =>
          this.#addChain(table, operation.chain),
        );
      case "chain.delete":
        return this.#within(operation.family, operation.table, (table) => deleteChain(table, operation.chain));
      case "chain.flush":
        return this.#within(operation.family, operation.table, (table) => flushChain(table, operation.chain));
      case "rule.add":
        return this.#within(operation.rule.family, operation.rule.table, (table) =>
          this.#addRule(table, operation.rule, operation.place ?? { at: "end" }),
        );
      case "rule.delete":
        return this.#within(operation.family, operation.table, (table) => {
          const rules = table.chains.get(operation.chain)?.rules;
          const at = rules?.findIndex(({ handle }) => handle === operation.handle) ?? -1;
          if (at < 0) return ENOENT;
          rules?.splice(at, 1);
          return 0;
        });
      case "set.add":
        return this.#within(operation.set.family, operation.set.table, (table) => this.#addSet(table, operation.set));
      case "set.delete":
        return this.#withinSet(operation.set, (_, table) => {
          if (usesSet(table, operation.set.set)) return EBUSY;
          table.sets.delete(operation.set.set);
          return 0;
        });
      case "set.flush":
        return this.#withinSet(operation.set, ({ elements }) => {
          elements.clear();
          return 0;
        });
      case "element.add":
        return this.#withinSet(operation.set, (set, table) =>
          first(operation.elements, (item) => addElement(table, set, item)),
        );
      case "element.delete":
        return this.#withinSet(operation.set, ({ elements }) =>
          first(operation.elements, (item) => (elements.delete(elementKey(item)) ? 0 : ENOENT)),
        );
    }
  }

  #within(family: NftFamily, name: string, work: (table: FakeTable) => number): number {
    const found = this.#ruleset.tables.get(`${family} ${name}`);
    if (found === undefined) return ENOENT;
    const { owner, ownerPort } = found.table;
    if (owner === true && ownerPort !== this.port) return EPERM;
    return work(found);
  }

  #withinSet(
    name: NftSetName,
    work: (set: { set: NftSet; elements: Map<string, NftElement> }, table: FakeTable) => number,
  ): number {
    return this.#within(name.family, name.table, (table) => {
      const set = table.sets.get(name.set);
      return set === undefined ? ENOENT : work(set, table);
    });
  }

  #addTable(table: NftTable): number {
    if (table.persist === true && !this.#features.persist) return EOPNOTSUPP;
    const key = `${table.family} ${table.name}`;
    const found = this.#ruleset.tables.get(key);
    const ownerPort = table.owner === true ? { ownerPort: this.port } : {};
    if (found === undefined) {
      const handle = this.#ruleset.nextHandle++;
      this.#ruleset.tables.set(key, { table: { ...table, ...ownerPort, handle }, chains: new Map(), sets: new Map() });
      return 0;
    }
    const { owner, persist } = found.table;
    if (owner === true && found.table.ownerPort !== this.port) return EPERM;
    // nf_tables_updtable: a table changes hands only when its owner has gone, and an owner does not give it up.
    const orphan = owner !== true && persist === true;
    if (table.owner === true && owner !== true && !orphan) return EOPNOTSUPP;
    if (table.owner !== true && owner === true) return EOPNOTSUPP;
    const { dormant: _, ...awake } = found.table;
    found.table = {
      ...awake,
      ...(table.dormant === true ? { dormant: true } : {}),
      ...(table.owner === true ? { owner: true, ...ownerPort } : {}),
    };
    return 0;
  }

  #addChain(table: FakeTable, chain: NftChain): number {
    const found = table.chains.get(chain.name);
    if (found === undefined) {
      if (chain.base !== undefined && !hangs(chain.base)) return EOPNOTSUPP;
      table.chains.set(chain.name, { chain: { ...chain, handle: this.#ruleset.nextHandle++ }, rules: [] });
      return 0;
    }
    if (chain.base === undefined) return 0;
    const { base } = found.chain;
    if (base === undefined) return EEXIST;
    if (base.type !== chain.base.type) return EEXIST;
    if (base.hook !== chain.base.hook || base.priority !== chain.base.priority) return EOPNOTSUPP;
    found.chain = { ...found.chain, base: chain.base };
    return 0;
  }

  #addRule(table: FakeTable, rule: NftRule, place: RulePlace): number {
    const chain = table.chains.get(rule.chain);
    if (chain === undefined) return ENOENT;
    for (const set of rule.expressions.map(setOf)) if (set !== undefined && !table.sets.has(set)) return ENOENT;
    for (const target of rule.expressions.map(targetOf)) {
      const errno = target === undefined ? 0 : jumpError(table, rule.chain, target);
      if (errno !== 0) return errno;
    }
    const added = { ...rule, handle: this.#ruleset.nextHandle++ };
    if (place.at === "end") chain.rules.push(added);
    else if (place.at === "start") chain.rules.unshift(added);
    else {
      const at = chain.rules.findIndex(({ handle }) => handle === place.handle);
      if (at < 0) return ENOENT;
      chain.rules.splice(place.at === "after" ? at + 1 : at, place.at === "instead" ? 1 : 0, added);
    }
    return 0;
  }

  #addSet(table: FakeTable, set: NftSet): number {
    const found = table.sets.get(set.name);
    if (found !== undefined) {
      const { handle: _, comment: __, ...rest } = found.set;
      const { handle: ___, comment: ____, ...wanted } = set;
      return Bun.deepEquals(rest, wanted) ? 0 : EEXIST;
    }
    if (set.keyLength < 1 || set.keyLength > 64) return EINVAL;
    table.sets.set(set.name, { set: { ...set, handle: this.#ruleset.nextHandle++ }, elements: new Map() });
    return 0;
  }

  tables(family?: NftFamily): NftTable[] {
    this.#dumps++;
    return this.#tables(family).map(({ table }) => table);
  }

  chains(family?: NftFamily): NftChain[] {
    this.#dumps++;
    return this.#tables(family).flatMap(({ chains }) => [...chains.values()].map(({ chain }) => chain));
  }

  rules(filter: RuleFilter = {}): NftRule[] {
    this.#dumps++;
    return this.#tables(filter.family)
      .flatMap(({ chains }) => [...chains.values()].flatMap(({ rules }) => rules))
      .filter((rule) => (filter.table ?? rule.table) === rule.table && (filter.chain ?? rule.chain) === rule.chain);
  }

  sets(family?: NftFamily, table?: string): NftSet[] {
    this.#dumps++;
    const tables = this.#tables(family).filter((found) => (table ?? found.table.name) === found.table.name);
    if (table !== undefined && tables.length === 0)
      throw errnoError(ENOENT, { operation: "dump", object: "nf_tables" });
    return tables.flatMap(({ sets }) => [...sets.values()].map(({ set }) => set));
  }

  elements(name: NftSetName): NftElement[] {
    this.#dumps++;
    const set = this.#ruleset.tables.get(`${name.family} ${name.table}`)?.sets.get(name.set);
    if (set === undefined) throw errnoError(ENOENT, { operation: "dump", object: "nf_tables" });
    return [...set.elements.values()];
  }

  read(family: NftFamily, name: string): NftTableContent | undefined {
    this.#dumps++;
    const found = this.#ruleset.tables.get(`${family} ${name}`);
    if (found === undefined) return undefined;
    return {
      table: found.table,
      chains: [...found.chains.values()].map(({ chain }) => chain),
      rules: [...found.chains.values()].flatMap(({ rules }) => rules),
      sets: [...found.sets.values()].map(({ set, elements }) => ({ set, elements: [...elements.values()] })),
    };
  }

  generation(): number {
    return this.#ruleset.generation;
  }

  /** As the kernel does when a socket goes: tables that it owned persist as orphans, or go with it. */
  close(): void {
    for (const [key, found] of this.#ruleset.tables) {
      if (found.table.ownerPort !== this.port) continue;
      const { owner: _, ownerPort: __, ...rest } = found.table;
      if (rest.persist === true) found.table = rest;
      else this.#ruleset.tables.delete(key);
    }
  }

  #tables(family: NftFamily | undefined): FakeTable[] {
    return [...this.#ruleset.tables.values()].filter(({ table }) => (family ?? table.family) === table.family);
  }
}

/** The first errno that is not 0. */
function first<T>(items: readonly T[], work: (item: T) => number): number {
  for (const item of items) {
    const errno = work(item);
    if (errno !== 0) return errno;
  }
  return 0;
}

/** Where the types of chain may hang: nf_tables has no nat on forward, and route is for output alone. */
function hangs({ type, hook }: NftBase): boolean {
  if (type === "nat") return hook !== "forward" && hook !== "ingress" && hook !== "egress";
  return type === "filter" || hook === "output";
}

function deleteChain(table: FakeTable, name: string): number {
  if (!table.chains.has(name)) return ENOENT;
  if (isJumpedTo(table, name)) return EBUSY;
  table.chains.delete(name);
  return 0;
}

function flushChain(table: FakeTable, name: string): number {
  const chain = table.chains.get(name);
  if (chain === undefined) return ENOENT;
  chain.rules.length = 0;
  return 0;
}

function addElement(
  table: FakeTable,
  { set, elements }: { set: NftSet; elements: Map<string, NftElement> },
  element: NftElement,
): number {
  if (element.key !== "" && dataLength(element.key) !== set.keyLength) return EINVAL;
  if (
    set.data !== undefined &&
    element.data === undefined &&
    element.object === undefined &&
    element.intervalEnd !== true
  )
    return EINVAL;
  if (set.data === undefined && element.data !== undefined) return EINVAL;
  if (typeof element.data === "object" && "chain" in element.data && !table.chains.has(element.data.chain))
    return ENOENT;
  const found = elements.get(elementKey(element));
  if (found !== undefined) return Bun.deepEquals(found.data, element.data) ? 0 : EEXIST;
  if (set.size !== undefined && elements.size >= set.size) return ENFILE;
  elements.set(elementKey(element), element);
  return 0;
}

const setOf = (expression: NftExpression): string | undefined => ("set" in expression ? expression.set : undefined);
const chainOf = (verdict: NftVerdict): string | undefined => ("chain" in verdict ? verdict.chain : undefined);
const targetOf = (expression: NftExpression): string | undefined =>
  expression.type === "verdict" ? chainOf(expression.verdict) : undefined;

/** Only chains that hang on no hook can be jumped to, and never in a circle that a packet could enter. */
function jumpError(table: FakeTable, from: string, to: string): number {
  const target = table.chains.get(to);
  if (target === undefined) return ENOENT;
  if (target.chain.base !== undefined) return EOPNOTSUPP;
  const entered = [...table.chains.values()].some(
    ({ chain }) => chain.base !== undefined && reaches(table, chain.name, from),
  );
  return entered && reaches(table, to, from) ? EMLINK : 0;
}

const reaches = (table: FakeTable, from: string, to: string): boolean =>
  from === to ||
  (table.chains.get(from)?.rules ?? []).some(({ expressions }) =>
    expressions.some((expression) => {
      const target = targetOf(expression);
      return target !== undefined && reaches(table, target, to);
    }),
  );

const allRules = (table: FakeTable): NftRule[] => [...table.chains.values()].flatMap(({ rules }) => rules);

const usesSet = (table: FakeTable, name: string): boolean =>
  allRules(table).some(({ expressions }) => expressions.some((expression) => setOf(expression) === name));

function isJumpedTo(table: FakeTable, name: string): boolean {
  if (
    allRules(table).some(
      ({ expressions, chain }) => chain !== name && expressions.some((expression) => targetOf(expression) === name),
    )
  )
    return true;
  return [...table.sets.values()].some(({ elements }) =>
    [...elements.values()].some(({ data }) => typeof data === "object" && chainOf(data) === name),
  );
}

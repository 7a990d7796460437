import {
  type ClassNumber,
  type Decision,
  type DecisionKey,
  type DecisionNumber,
  decisionKey,
  type GroupNumber,
  outsideClass,
  type PortClass,
  type PortKey,
  type PortRow,
  portKey,
} from "../../model/policy-state.ts";
import type { Facts } from "./decide.ts";
import type { DecisionNumbers } from "./decision-numbers.ts";
import type { FactKey } from "./fact.ts";
import type { Group } from "./local-groups.ts";
import type { PortCell } from "./port-classes.ts";
import { keptPortClasses } from "./port-numbers.ts";
import { type GroupRow, GroupTable } from "./rows.ts";
import { TrackedMap } from "./tracked-map.ts";

/** A group, as its number stands in the tables. */
interface Listed {
  readonly table: GroupTable;
  readonly facts: Group["facts"];
  readonly portClasses: ReadonlyMap<PortCell, PortClass>;
  readonly ports: readonly PortKey[];
  /** Of classes that differ from class 0. */
  readonly blocks: Map<ClassNumber, Block>;
}

/** The rows of one group and class: a function of the group, and of those facts of the class that the group asks for. */
interface Block {
  readonly restricted: string;
  readonly keys: readonly DecisionKey[];
}

/** The tables that say what groups decide. */
export class DecisionRows {
  readonly ports = new TrackedMap<PortKey, PortRow>((a, b) => a.class === b.class && a.last === b.last);
  readonly decisions = new TrackedMap<DecisionKey, DecisionNumber>();
  readonly verdicts = new TrackedMap<DecisionNumber, Decision>(() => true);
  readonly #numbers: DecisionNumbers;
  readonly #groups = new Map<GroupNumber, Listed>();
  readonly #classes = new Map<ClassNumber, readonly Facts[]>();
  readonly #groupsAsking = new Map<FactKey, Set<GroupNumber>>();
  readonly #classesHaving = new Map<FactKey, Set<ClassNumber>>();

  constructor(numbers: DecisionNumbers) {
    this.#numbers = numbers;
  }

  /**
   * @param groups numbers that stand for another group now; undefined: for none.
   * @param classes likewise.
   * @param portsBefore the rows of ports that a group's number has in the kernel, if this is the first it is heard of.
   */
  update(
    groups: ReadonlyMap<GroupNumber, Group | undefined>,
    classes: ReadonlyMap<ClassNumber, readonly Facts[] | undefined>,
    portsBefore: (group: GroupNumber) => Iterable<PortRow>,
  ): void {
    const stale = new Set<GroupNumber>();
    for (const [number, peers] of classes) {
      for (const group of this.#groupsOf(this.#classes.get(number))) this.#drop(group, number);
      file(this.#classesHaving, factsIn(this.#classes.get(number)), number, false);
      if (peers === undefined) this.#classes.delete(number);
      else this.#classes.set(number, peers);
      file(this.#classesHaving, factsIn(peers), number, true);
    }
    for (const [number, group] of groups) {
      this.#list(number, group, portsBefore);
      stale.add(number);
    }
    for (const number of classes.keys()) {
      for (const group of this.#groupsOf(this.#classes.get(number))) if (!stale.has(group)) this.#put(group, number);
    }
  }

  #list(number: GroupNumber, group: Group | undefined, portsBefore: (group: GroupNumber) => Iterable<PortRow>): void {
    const before = this.#groups.get(number);
    const rowsBefore = before?.ports.flatMap((key) => this.ports.get(key) ?? []) ?? portsBefore(number);
    if (before !== undefined) {
      for (const of of [...before.blocks.keys()]) this.#drop(number, of);
      for (const key of before.ports) this.ports.delete(key);
      file(this.#groupsAsking, before.facts.keys(), number, false);
      this.#groups.delete(number);
    }
    if (group === undefined) return;
    const table = new GroupTable(group.programs);
    const portClasses = keptPortClasses(table.cells, rowsBefore);
    const ports = this.#putPorts(number, portClasses);
    this.#groups.set(number, { table, facts: group.facts, portClasses, ports, blocks: new Map() });
    file(this.#groupsAsking, group.facts.keys(), number, true);
    this.#write(number, outsideClass, "", table.baseRows());
    const classes = new Set<ClassNumber>();
    for (const fact of group.facts.keys()) for (const one of this.#classesHaving.get(fact) ?? []) classes.add(one);
    for (const one of classes) this.#put(number, one);
  }

  #putPorts(group: GroupNumber, portClasses: Listed["portClasses"]): readonly PortKey[] {
    const keys: PortKey[] = [];
    for (const [{ protocol, ranges }, number] of portClasses) {
      for (const { first, last } of ranges) {
        const key = portKey(group, protocol, first);
        this.ports.set(key, { group, protocol, first, last, class: number });
        keys.push(key);
      }
    }
    return keys;
  }

  #put(number: GroupNumber, of: ClassNumber): void {
    const group = this.#groups.get(number);
    const peers = this.#classes.get(of);
    if (group === undefined || peers === undefined) return;
    const { key, rows } = group.table.rowsOf(peers);
    if (rows.length > 0) this.#write(number, of, key, rows);
  }

  #write(number: GroupNumber, of: ClassNumber, restricted: string, rows: readonly GroupRow[]): void {
    const group = this.#groups.get(number);
    if (group === undefined) return;
    const keys = rows.map(({ cell, decision }) => {
      const portClass = cell === undefined ? 0 : (group.portClasses.get(cell) ?? 0);
      const key = decisionKey(number, of, cell?.protocol ?? 0, portClass);
      const bears = this.#numbers.take(decision);
      this.decisions.set(key, bears);
      if (!this.verdicts.has(bears)) this.verdicts.set(bears, decision);
      return key;
    });
    group.blocks.set(of, { restricted, keys });
  }

  #drop(number: GroupNumber, of: ClassNumber): void {
    const blocks = this.#groups.get(number)?.blocks;
    for (const key of blocks?.get(of)?.keys ?? []) {
      const bears = this.decisions.get(key);
      this.decisions.delete(key);
      if (bears === undefined) continue;
      this.#numbers.release(bears);
      if (!this.#numbers.inUse(bears)) this.verdicts.delete(bears);
    }
    blocks?.delete(of);
  }

  #groupsOf(peers: readonly Facts[] | undefined): ReadonlySet<GroupNumber> {
    const groups = new Set<GroupNumber>();
    for (const fact of factsIn(peers)) for (const group of this.#groupsAsking.get(fact) ?? []) groups.add(group);
    return groups;
  }
}

function* factsIn(peers: readonly Facts[] | undefined): Iterable<FactKey> {
  for (const facts of peers ?? []) yield* facts.keys();
}

function file<K, V>(index: Map<K, Set<V>>, keys: Iterable<K>, value: V, there: boolean): void {
  for (const key of keys) {
    const values = index.get(key);
    if (!there) {
      values?.delete(value);
      if (values?.size === 0) index.delete(key);
    } else if (values === undefined) index.set(key, new Set([value]));
    else values.add(value);
  }
}

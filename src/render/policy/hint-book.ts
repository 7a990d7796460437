import type { Address } from "../../base/address.ts";
import type { AddressRow, DecisionKey, GroupNumber, PolicyChange, PortRow } from "../../model/policy-state.ts";
import { hints } from "./names.ts";
import { isExact, parseDecisionKey } from "./rows.ts";

/** Which groups have rows beside those of named ports, and whose they are: so that addresses can say so (`hints`). */
export class HintBook {
  /** Rows by group: keys of decisions for a whole protocol, and of ports that are ranges or ICMP types. */
  readonly #rows = new Map<GroupNumber, Set<string>>();
  readonly #members = new Map<GroupNumber, Map<Address, AddressRow>>();

  of(row: AddressRow): number {
    return (this.#rows.has(row.ingress) ? hints.ingress : 0) | (this.#rows.has(row.egress) ? hints.egress : 0);
  }

  /** @returns addresses whose rows stay, and whose hints are other now. */
  change(change: PolicyChange, ports: ReadonlyMap<string, PortRow>): Map<Address, AddressRow> {
    const turned = new Set<GroupNumber>();
    for (const [key, decision] of change.decisions) this.#note(turned, ...hintOfDecision(key), decision !== undefined);
    for (const [key, row] of change.ports) {
      const known = row ?? ports.get(key);
      if (known !== undefined && !isExact(known)) this.#note(turned, known.group, `port ${key}`, row !== undefined);
    }
    const result = new Map<Address, AddressRow>();
    for (const group of turned) for (const [address, row] of this.#members.get(group) ?? []) result.set(address, row);
    return result;
  }

  /** To be told of every row that is another now. */
  move(address: Address, before: AddressRow | undefined, after: AddressRow | undefined): void {
    for (const group of groupsOf(before)) {
      const members = this.#members.get(group);
      members?.delete(address);
      if (members?.size === 0) this.#members.delete(group);
    }
    if (after === undefined) return;
    for (const group of groupsOf(after)) {
      const members = this.#members.get(group) ?? new Map<Address, AddressRow>();
      this.#members.set(group, members.set(address, after));
    }
  }

  #note(turned: Set<GroupNumber>, group: GroupNumber, key: string | undefined, there: boolean): void {
    if (key === undefined) return;
    const rows = this.#rows.get(group) ?? new Set<string>();
    const before = rows.size > 0;
    if (there) rows.add(key);
    else rows.delete(key);
    if (rows.size > 0) this.#rows.set(group, rows);
    else this.#rows.delete(group);
    if (before !== rows.size > 0) turned.add(group);
  }
}

function hintOfDecision(key: DecisionKey): [GroupNumber, string | undefined] {
  const { group, protocol, port } = parseDecisionKey(key);
  return [group, protocol !== 0 && port === 0 ? key : undefined];
}

const groupsOf = (row: AddressRow | undefined): GroupNumber[] =>
  row === undefined ? [] : [row.ingress, row.egress].filter((group) => group !== 0);

import { type Address, type Family, familyOf } from "../../base/address.ts";
import type { AddressRow, NetworkRow, PolicyChange, PolicyState, PortRow } from "../../model/policy-state.ts";
import { elementKey, epochElements, type NftElement, type NftTableContent } from "../../objects/nft.ts";
import { hostData } from "../../objects/nft-data.ts";
import { twillTable } from "../masquerade.ts";
import { type SetChange, SetChanges } from "../set-change.ts";
import { HintBook } from "./hint-book.ts";
import { setNames } from "./names.ts";
import type { PolicyOptions } from "./options.ts";
import { policyProgram } from "./program.ts";
import {
  actionElements,
  addressElement,
  decisionElement,
  decisionElementKey,
  hasSelf,
  networkElements,
  noAddress,
  noPort,
  portElements,
  selfKey,
  verdictElement,
} from "./rows.ts";
import { policySets, roleOf, sized } from "./sets.ts";

/**
 * PolicyState as table content, and its changes as changes of elements. Remembers what a change does not say: rows of addresses and of ports,
 * which hint at what their groups have.
 */
export class PolicyRendering {
  readonly #options: PolicyOptions;
  #hints = new HintBook();
  #addresses = new Map<Address, AddressRow>();
  #ports = new Map<string, PortRow>();
  #networks: readonly NetworkRow[] = [];

  constructor(options: PolicyOptions) {
    this.#options = options;
  }

  /** Everything that policy puts into table `inet twill`: chains and rules by the options, sets by the state. */
  table(state: PolicyState): NftTableContent {
    const elements = new Map<string, readonly NftElement[]>();
    this.#hints = new HintBook();
    this.#addresses = new Map();
    this.#ports = new Map();
    this.#networks = [];
    for (const { set, put } of this.change(state)) elements.set(set, put);
    const program = policyProgram(this.#options);
    return {
      table: { family: twillTable.family, name: twillTable.table },
      chains: program.map(({ chain }) => chain),
      rules: program.flatMap(({ rules }) => rules),
      sets: policySets.map((set) => {
        const all = [...this.#constant(set.name), ...(elements.get(set.name) ?? [])];
        return { set: sized(set, all.length), elements: all, ...roleOf(set.name) };
      }),
    };
  }

  /** What is to be patched, all in one transaction. */
  change(change: PolicyChange): SetChange[] {
    const book = new SetChanges();
    const rehinted = this.#hints.change(change, this.#ports);
    for (const [address, row] of change.addresses) {
      rehinted.delete(address);
      this.#move(book, address, row);
    }
    for (const [address, row] of rehinted) this.#putAddress(book, address, row);
    if (change.networks !== undefined) this.#replaceNetworks(book, change.networks);
    for (const [key, row] of change.ports) this.#changePort(book, key, row);
    for (const [key, decision] of change.decisions) {
      if (decision === undefined) book.remove(setNames.decisions, decisionElementKey(key));
      else book.put(setNames.decisions, decisionElement(key, decision));
    }
    for (const [number, decision] of change.verdicts) {
      if (decision === undefined) book.remove(setNames.verdicts, hostData(number));
      else book.put(setNames.verdicts, verdictElement(number, decision));
    }
    return book.all();
  }

  #move(book: SetChanges, address: Address, row: AddressRow | undefined): void {
    const before = this.#addresses.get(address);
    this.#hints.move(address, before, row);
    const family = familyOf(address);
    if (row === undefined) {
      this.#addresses.delete(address);
      if (before !== undefined) book.remove(setNames.addresses[family], addressElement(address, before, 0).key);
    } else {
      this.#addresses.set(address, row);
      this.#putAddress(book, address, row);
    }
    if (hasSelf(row) === hasSelf(before)) return;
    if (hasSelf(row)) book.put(setNames.selves[family], { key: selfKey(address) });
    else book.remove(setNames.selves[family], selfKey(address));
  }

  #putAddress(book: SetChanges, address: Address, row: AddressRow): void {
    book.put(setNames.addresses[familyOf(address)], addressElement(address, row, this.#hints.of(row)));
  }

  #replaceNetworks(book: SetChanges, networks: readonly NetworkRow[]): void {
    for (const family of [4, 6] as const) {
      for (const element of networkElements(this.#networks, family)) {
        book.remove(setNames.networks[family], elementKey(element));
      }
      for (const element of networkElements(networks, family)) book.put(setNames.networks[family], element);
    }
    this.#networks = networks;
  }

  #changePort(book: SetChanges, key: string, row: PortRow | undefined): void {
    const before = this.#ports.get(key);
    if (before !== undefined) {
      const { set, elements } = portElements(before);
      for (const element of elements) book.remove(set, elementKey(element));
    }
    if (row === undefined) this.#ports.delete(key);
    else {
      this.#ports.set(key, row);
      const { set, elements } = portElements(row);
      for (const element of elements) book.put(set, element);
    }
  }

  /** The elements that stand for all others. */
  #constant(set: string): NftElement[] {
    const families: readonly Family[] = [4, 6];
    if (families.some((family) => set === setNames.addresses[family])) return [noAddress];
    if (families.some((family) => set === setNames.networks[family])) return [{ key: "", data: hostData(0) }];
    if (set === setNames.actions) return [...actionElements];
    // Whoever applies it goes on from what the kernel holds.
    if (set === setNames.epoch) return [...epochElements(1)];
    const ports: readonly string[] = [setNames.ports, setNames.portRanges, setNames.icmp];
    return ports.includes(set) ? [noPort] : [];
  }
}

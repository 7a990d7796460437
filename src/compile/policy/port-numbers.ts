import type { PortClass, PortRow } from "../../model/policy-state.ts";
import { Numbering } from "./numbering.ts";
import type { PortCell } from "./port-classes.ts";

/**
 * Numbers for a group's cells of ports, those that its ports had before as far as may be.
 * @param before the group's rows until now.
 */
export function keptPortClasses(
  cells: readonly PortCell[],
  before: Iterable<PortRow>,
): ReadonlyMap<PortCell, PortClass> {
  const had = new Map<string, PortClass>();
  for (const { protocol, first, class: number } of before) had.set(`${protocol}/${first}`, number);
  const numbers = new Map<PortCell, PortClass>();
  for (const [protocol, ofProtocol] of byProtocol(cells)) {
    const numbering = new Numbering(1);
    const votes = new Map<string, Map<number, number>>();
    for (const { number, ranges } of ofProtocol) {
      if (number === 0) continue;
      const of = new Map<number, number>();
      for (const { first } of ranges) {
        const bore = had.get(`${protocol}/${first}`);
        if (bore !== undefined) of.set(bore, (of.get(bore) ?? 0) + 1);
      }
      votes.set(String(number), of);
    }
    numbering.settle([], votes);
    for (const cell of ofProtocol) numbers.set(cell, cell.number === 0 ? 0 : (numbering.of(String(cell.number)) ?? 0));
  }
  return numbers;
}

function byProtocol(cells: readonly PortCell[]): ReadonlyMap<number, readonly PortCell[]> {
  const found = new Map<number, PortCell[]>();
  for (const cell of cells) {
    const others = found.get(cell.protocol);
    if (others === undefined) found.set(cell.protocol, [cell]);
    else others.push(cell);
  }
  return found;
}

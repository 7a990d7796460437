import { type Address, type Family, familyOf } from "../../base/address.ts";
import { protocols } from "../../model/policy.ts";
import {
  type AddressRow,
  type ClassNumber,
  type Decision,
  type DecisionKey,
  type DecisionNumber,
  decisionContent,
  type GroupNumber,
  type NetworkRow,
  type PortClass,
  type PortRow,
} from "../../model/policy-state.ts";
import type { NftElement } from "../../objects/nft.ts";
import { addressData, byteData, concatenated, hostData, type NftData, portData } from "../../objects/nft-data.ts";
import { intervalElements } from "../../objects/nft-interval.ts";
import { denyChain, setNames, unknownClass } from "./names.ts";
import { reasonText } from "./reason-text.ts";

/** Rows of PolicyState as elements of the maps (sets.ts). */

/** @param of `hints` of its groups. */
export const addressElement = (address: Address, row: AddressRow, of: number): NftElement => ({
  key: addressData(address),
  data: rowData(row, of),
});

function rowData(row: AddressRow, of: number): NftData {
  return (hostData(row.class) + hostData(of) + hostData(row.ingress) + hostData(row.egress)) as NftData;
}
const zero = hostData(0);

/** A number behind a word of nothing (registers.ts). */
const second = (value: number): NftData => (zero + hostData(value)) as NftData;

/** What stands for every address without a row. */
export const noAddress: NftElement = { key: "", data: rowData({ class: unknownClass, ingress: 0, egress: 0 }, 0) };

/** Both ends of a pod's packet to itself; needed only where there is something to decide. */
export function selfKey(address: Address): NftData {
  const own = addressData(address);
  return concatenated(own, own);
}
export const hasSelf = (row: AddressRow | undefined): boolean =>
  row !== undefined && (row.ingress !== 0 || row.egress !== 0);

/** Of one family. Disjoint; any order. */
export const networkElements = (rows: readonly NetworkRow[], family: Family): NftElement[] =>
  intervalElements(
    rows
      .filter(({ first }) => familyOf(first) === family)
      .map(({ first, last, class: of }) => ({
        first: addressData(first),
        last: addressData(last),
        data: hostData(of),
      })),
  );

/** Ranges of fewer ports are as many exact keys: only those can be changed without the others. */
const wideFrom = 33;

const isIcmp = ({ protocol }: PortRow): boolean => protocol === protocols.icmp || protocol === protocols.icmpv6;
/** Goes into the exact map `ports`. */
export const isExact = (row: PortRow): boolean => !isIcmp(row) && row.last - row.first + 1 < wideFrom;

/** The map that a row of ports goes into, and what it becomes there. */
export function portElements(row: PortRow): { readonly set: string; readonly elements: NftElement[] } {
  const { group, protocol, first, last } = row;
  const data = second(row.class);
  const key = (port: number): NftData => concatenated(hostData(group), byteData(protocol), portData(port));
  if (!isExact(row)) {
    const set = isIcmp(row) ? setNames.icmp : setNames.portRanges;
    return { set, elements: [{ key: key(first), keyEnd: key(last), data }] };
  }
  const ports = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return { set: setNames.ports, elements: ports.map((port) => ({ key: key(port), data })) };
}

/** Ports that no row names. */
export const noPort: NftElement = { key: "", data: second(0) };

export interface DecisionRow {
  readonly group: GroupNumber;
  readonly class: ClassNumber;
  readonly protocol: number;
  readonly port: PortClass;
}

export function parseDecisionKey(key: DecisionKey): DecisionRow {
  const [group = 0, of = 0, protocol = 0, port = 0] = key.split("/").map(Number);
  return { group, class: of, protocol, port };
}

/** Port class first: as the registers stand (registers.ts). */
export function decisionElementKey(key: DecisionKey): NftData {
  const { group, class: of, protocol, port } = parseDecisionKey(key);
  return concatenated(hostData(port), hostData(group), hostData(of), byteData(protocol));
}

export const decisionElement = (key: DecisionKey, decision: DecisionNumber): NftElement => ({
  key: decisionElementKey(key),
  data: second(decision),
});

/**
 * What decisions may lead to. A map of its own, that never changes: with a chain in an element that comes or goes, the kernel looks for loops
 * through all rules and elements of the table (nft_table_validate), which took 6 ms a change of policy.
 */
const actions = ["allow", "egress", "ingress"] as const;

export const actionElements: readonly NftElement[] = actions.map((action, number) => ({
  key: hostData(number),
  data: action === "allow" ? { verdict: "return" } : { verdict: "goto", chain: denyChain(action) },
}));

export const verdictElement = (number: DecisionNumber, decision: Decision): NftElement => ({
  key: hostData(number),
  data: second(actions.indexOf(decision.verdict === "allow" ? "allow" : decision.direction)),
  comment: decisionComment(decision),
});

/** nft takes comments of up to 128 bytes, and cannot read back what it printed if there is a quote in it. */
const textLength = 104;

const decisionComment = (decision: Decision): string =>
  `${reasonText(decision)
    .replaceAll(/[^ -~]|"/g, "?")
    .slice(0, textLength)} #${contentHash(decision)}`;

/** Tells decisions apart by content, across restarts: 16 hexadecimal digits. */
export const contentHash = (decision: Decision): string =>
  Bun.hash(decisionContent(decision)).toString(16).padStart(16, "0");

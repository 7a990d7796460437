import type { Address } from "../../../src/base/address.ts";
import type { HeldPolicy } from "../../../src/compile/policy/compiler.ts";
import {
  type AddressRow,
  type Decision,
  type DecisionNumber,
  type NetworkRow,
  type PortRow,
  portKey,
} from "../../../src/model/policy-state.ts";
import type { NftElement, NftTableContent } from "../../../src/objects/nft.ts";
import { addressOfData, type NftData, numberOfHostData } from "../../../src/objects/nft-data.ts";
import { setNames } from "../../../src/render/policy/names.ts";
import { contentHash } from "../../../src/render/policy/rows.ts";

/**
 * What an agent before this one left in the kernel, so that a restart keeps its numbers: rows then stay as they are, rules keep
 * their counters, and connections the decisions that their labels name.
 *
 * @param known what the numbers mean, as that agent wrote it down. The kernel has the last word: it bears each decision's hash.
 * @returns undefined when there is no policy.
 */
export function heldPolicy(
  table: NftTableContent | undefined,
  known: ReadonlyMap<DecisionNumber, Decision>,
): HeldPolicy | undefined {
  const sets = new Map(table?.sets.map(({ set, elements }) => [set.name, elements]));
  const verdicts = sets.get(setNames.verdicts);
  if (verdicts === undefined) return undefined;
  const decisions = new Map(known);
  for (const { key, comment = "" } of verdicts) {
    if (key === "") continue;
    const number = numberOfHostData(key);
    const decision = known.get(number);
    if (decision === undefined || !comment.endsWith(`#${contentHash(decision)}`))
      decisions.set(number, forgotten(number));
  }
  const of = (names: Readonly<Record<4 | 6, string>>) =>
    ([4, 6] as const).flatMap((family) => sets.get(names[family]) ?? []);
  return {
    addresses: new Map(of(setNames.addresses).flatMap(addressRow)),
    networks: ([4, 6] as const).flatMap((family) => networkRows(sets.get(setNames.networks[family]) ?? [])),
    ports: new Map((sets.get(setNames.ports) ?? []).flatMap(portRow)),
    decisions,
  };
}

/** Nobody knows any more what the number meant: connections may bear it, so it is given to nothing else. */
const forgotten = (number: DecisionNumber): Decision => ({
  direction: "ingress",
  verdict: "allow",
  log: false,
  reason: { by: "rule", policy: { kind: "NetworkPolicy", namespace: "", name: `forgotten-${number}` }, rule: 0 },
});

function addressRow({ key, data }: NftElement): [Address, AddressRow][] {
  const [of, , ingress, egress] = words(data);
  if (key === "" || of === undefined || ingress === undefined || egress === undefined) return [];
  return [[addressOfData(key), { class: of, ingress, egress }]];
}

/** A range ends before the element that says so, or before the next one's beginning. */
function networkRows(elements: readonly NftElement[]): NetworkRow[] {
  const sorted = elements.filter(({ key }) => key !== "").sort((a, b) => (a.key < b.key ? -1 : 1));
  return sorted.flatMap(({ key, intervalEnd, data }, index) => {
    const [of] = words(data);
    if (key === "" || intervalEnd === true || of === undefined) return [];
    const next = sorted[index + 1]?.key;
    const last = next === undefined || next === "" ? ("f".repeat(key.length) as NftData) : before(next);
    return [{ first: addressOfData(key), last: addressOfData(last), class: of }];
  });
}

const before = (key: NftData): NftData => (BigInt(`0x${key}`) - 1n).toString(16).padStart(key.length, "0") as NftData;

/** Key: group, protocol and port, each in four bytes. */
function portRow({ key, data }: NftElement): [string, PortRow][] {
  const [, of] = words(data);
  if (key.length !== 24 || of === undefined) return [];
  const group = numberOfHostData(key.slice(0, 8) as NftData);
  const protocol = Number.parseInt(key.slice(8, 10), 16);
  const port = Number.parseInt(key.slice(16, 20), 16);
  return [[portKey(group, protocol, port), { group, protocol, first: port, last: port, class: of }]];
}

function words(data: NftElement["data"]): number[] {
  if (typeof data !== "string") return [];
  return (data.match(/.{8}/g) ?? []).map((word) => numberOfHostData(word as NftData));
}

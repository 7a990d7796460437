import type { Family } from "../../base/address.ts";
import { type EndpointName, neighbourDiscovery, type PolicyModel, protocols } from "../../model/policy.ts";
import { type Bits, bitsAnd, bitsWhere, isEmpty } from "./bits.ts";
import { type Crowd, Crowds } from "./crowd.ts";
import type { PolicyDiff, ReachChange } from "./diff.ts";
import { describeTraffic, holds, isNone, portRange, type Traffic, unite } from "./traffic.ts";

/** A diff in words: what a person reads, and JSON. */
export interface DiffReport {
  readonly changes: readonly ReportedChange[];
  /** Pods of whom nothing is said, for only one side has them. */
  readonly added: readonly EndpointName[];
  readonly removed: readonly EndpointName[];
}

export interface ReportedChange {
  readonly effect: "opens" | "closes";
  readonly from: Side;
  readonly to: Side;
  /** "TCP 80, 443". */
  readonly traffic: string;
  /** Half-open ranges of protocol × 65,536 + port, all boundaries in one list. */
  readonly ranges: Traffic;
  /** Absent: for IPv4 and IPv6 alike, or the cluster has only one of them. */
  readonly family?: Family;
}

export interface Side extends Crowd {
  /** "every pod in namespace shop", "anyone outside". */
  readonly words: readonly string[];
}

/** @param model from which workloads have their names: that before the change. */
export function reportDiff(diff: PolicyDiff, model: PolicyModel): DiffReport {
  const { universe } = diff;
  const crowds = new Crowds(universe, model);
  const families = ([4, 6] as const).filter((family) =>
    universe.kinds.some((kind) => kind.family === family && kind.who.of === "workloads"),
  );
  const ofFamily = (family: Family): Bits =>
    bitsWhere(universe.kinds.length, (index) => universe.kinds[index]?.family === family);
  const found = new Map<string, ReportedChange[]>();
  for (const family of [4, 6] as const) {
    const members = ofFamily(family);
    for (const { sources, destinations, gained, lost } of diff.changes) {
      const [from, to] = [bitsAnd(sources, members), bitsAnd(destinations, members)];
      if (isEmpty(from) || isEmpty(to)) continue;
      for (const change of effects({ sources: from, destinations: to, gained, lost }, family, crowds)) {
        const key = JSON.stringify([change.effect, change.from.words, change.to.words, change.ranges]);
        found.set(key, [...(found.get(key) ?? []), change]);
      }
    }
  }
  const changes = [...found.values()].flatMap(([first, second]) => {
    if (first === undefined) return [];
    const { family: _, ...both } = first;
    return second !== undefined || families.length < 2 ? [both] : [first];
  });
  return { changes: changes.sort(byImportance), added: diff.added, removed: diff.removed };
}

function effects(
  { sources, destinations, gained, lost }: ReachChange,
  family: Family,
  crowds: Crowds,
): ReportedChange[] {
  const side = (bits: Bits): Side => {
    const crowd = crowds.of(bits);
    return { ...crowd, words: crowds.describe(crowd, family) };
  };
  const [from, to] = [side(sources), side(destinations)];
  return [{ effect: "closes", ranges: lost } as const, { effect: "opens", ranges: gained } as const].flatMap(
    ({ effect, ranges }) =>
      isNone(ranges) ? [] : [{ effect, from, to, traffic: describeTraffic(withDiscovery(ranges)), ranges, family }],
  );
}

const discovery = portRange(
  protocols.icmpv6,
  Math.min(...neighbourDiscovery) * 256,
  Math.max(...neighbourDiscovery) * 256 + 255,
);

/** IPv6 neighbour discovery is no matter of policy: it is not told as an exception of what lies around it. */
const withDiscovery = (ranges: Traffic): Traffic =>
  holds(ranges, (discovery[0] ?? 0) - 1) && holds(ranges, discovery[1] ?? 0) ? unite(ranges, discovery) : ranges;

/** What closes first, for that is what breaks; then the larger crowds. */
function byImportance(a: ReportedChange, b: ReportedChange): number {
  const size = ({ from, to }: ReportedChange): number => from.pods.length + to.pods.length;
  return Number(a.effect === "opens") - Number(b.effect === "opens") || size(b) - size(a);
}

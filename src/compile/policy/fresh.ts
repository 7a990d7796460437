import { type Address, addressFromNumber, type Family, familyOf, numberOf } from "../../base/address.ts";
import { baseOf, type Prefix, prefixFamily, sizeOf } from "../../base/prefix.ts";
import type { NamedPort, PolicyModel } from "../../model/policy.ts";
import type { Claim, Place } from "./claim.ts";
import { type Attached, claimsOf } from "./claims.ts";
import type { PolicyCompilerOptions } from "./compiler.ts";
import type { Facts } from "./decide.ts";
import { type Fact, type FactKey, factHolds, outsideTruth } from "./fact.ts";
import { type Program, programFor } from "./program.ts";
import { matchesEndpoint } from "./selector.ts";
import { forEachLeaf, type Truth } from "./truth.ts";

/** A PolicyState without numbers. */
export interface FreshTables {
  readonly addresses: ReadonlyMap<Address, FreshRow>;
  readonly networks: readonly { readonly first: Address; readonly last: Address; readonly content: string }[];
  readonly groups: ReadonlyMap<string, readonly Program[]>;
  /** "": class 0. */
  readonly classes: ReadonlyMap<string, readonly Facts[]>;
  /** The content of class 1. */
  readonly ownRest: string;
}

export interface FreshRow {
  readonly content: string;
  readonly ingress: string | undefined;
  readonly egress: string | undefined;
  /** The row is there even if the address is of no group. */
  readonly always: boolean;
}

export function freshTables(model: PolicyModel, attached: Attached, options: PolicyCompilerOptions): FreshTables {
  const facts = new Map<FactKey, Fact>();
  const groups = new Map<string, readonly Program[]>();
  const claims = claimsOf(model, attached, options.node);
  const context = {
    tiers: model.tiers,
    peerPorts: portsByName(model),
    useFact: (key: FactKey, fact: Fact) => void facts.set(key, fact),
    allowUnknown: options.unknownEndpoints === "allow",
  };
  const locals = [...claims].map(([address, who]) => {
    const programs = (["ingress", "egress"] as const).map((direction) =>
      who.flatMap(({ claim, local }) => {
        if (!local || "own" in claim) return [];
        const { namespace, known } = claim;
        const policies = [...model.policies.values()].filter(
          ({ subject }) =>
            known !== undefined &&
            matchesEndpoint(
              subject,
              {
                namespace,
                labels: known.labels,
                ...(known.serviceAccount === undefined ? {} : { serviceAccount: known.serviceAccount }),
              },
              known.namespaceLabels,
            ),
        );
        return programFor({ claim, place: address, family: familyOf(address) }, policies, direction, context) ?? [];
      }),
    );
    const [ingress, egress] = programs.map((of) => {
      if (of.length === 0) return undefined;
      const content = JSON.stringify(of.map(({ key }) => key).sort());
      groups.set(
        content,
        of.sort((a, b) => (a.key < b.key ? -1 : 1)),
      );
      return content;
    });
    return [address, { ingress, egress }] as const;
  });
  const groupsOf = new Map(locals);
  const classes = new Map<string, readonly Facts[]>([["", [new Map()]]]);
  const intern = (who: readonly (Claim | undefined)[], place: Place): string => {
    const found = new Map(
      who.map((claim) => factsOf(facts, claim, place)).map((held) => [JSON.stringify([...held]), held]),
    );
    const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
    const content = sorted.map(([key]) => (key === "[]" ? "" : key)).join("|");
    classes.set(
      content,
      sorted.map(([, held]) => held),
    );
    return content;
  };
  const ownRest = intern([{ node: model.nodes.get(options.node), own: true }], "anywhere");
  const addresses = new Map<Address, FreshRow>();
  for (const [address, who] of claims) {
    const content = intern(
      who.map(({ claim }) => claim),
      address,
    );
    const own = who.some(({ claim }) => "own" in claim && claim.own);
    // Without a row, an own address of the node would be judged as one of which nothing is known, not even the family.
    const always = own ? content !== ownRest : content !== intern([undefined], address);
    addresses.set(address, { content, ...{ ingress: undefined, egress: undefined, ...groupsOf.get(address) }, always });
  }
  const networks = rangesOf(facts.values()).flatMap(({ first, last }) => {
    const content = intern([undefined], first);
    return content === "" ? [] : [{ first, last, content }];
  });
  return { addresses, networks: joined(networks), groups, classes, ownRest };
}

function factsOf(facts: ReadonlyMap<FactKey, Fact>, claim: Claim | undefined, place: Place): Facts {
  const held = new Map<FactKey, Truth>();
  for (const key of [...facts.keys()].sort()) {
    const fact = facts.get(key);
    if (fact === undefined) continue;
    const truth = factHolds(fact, claim, place);
    if (truth !== outsideTruth(fact)) held.set(key, truth);
  }
  return held;
}

function portsByName(model: PolicyModel): (name: string) => readonly NamedPort[] {
  const found = new Map<string, Map<string, NamedPort>>();
  for (const { ports } of model.endpoints.values()) {
    for (const port of ports) {
      const same = found.get(port.name) ?? new Map<string, NamedPort>();
      same.set(`${port.protocol}/${port.port}`, port);
      found.set(port.name, same);
    }
  }
  return (name) => {
    const all = [...(found.get(name)?.values() ?? [])];
    return all.sort((a, b) => a.protocol - b.protocol || a.port - b.port);
  };
}
function rangesOf(facts: Iterable<Fact>): readonly { first: Address; last: Address }[] {
  const prefixes = new Set<Prefix>();
  for (const fact of facts) {
    if (!("peer" in fact)) continue;
    forEachLeaf(fact.peer, (leaf) => {
      if ("networks" in leaf) for (const prefix of [...leaf.networks, ...leaf.except]) prefixes.add(prefix);
    });
  }
  return ([4, 6] as const).flatMap((family) => {
    const starts = new Set<bigint>();
    for (const prefix of prefixes) {
      if (prefixFamily(prefix) !== family) continue;
      const base = numberOf(baseOf(prefix));
      starts.add(base).add(base + sizeOf(prefix));
    }
    const sorted = [...starts].sort((a, b) => (a < b ? -1 : 1));
    return sorted.slice(0, -1).map((start, index) => ({
      first: addressFromNumber(family as Family, start),
      last: addressFromNumber(family as Family, (sorted[index + 1] ?? start + 1n) - 1n),
    }));
  });
}

function joined<T extends { first: Address; last: Address; content: string }>(ranges: readonly T[]): readonly T[] {
  const found: T[] = [];
  for (const range of ranges) {
    const before = found.at(-1);
    const adjacent =
      before !== undefined &&
      before.content === range.content &&
      familyOf(before.first) === familyOf(range.first) &&
      numberOf(before.last) + 1n === numberOf(range.first);
    if (adjacent) found[found.length - 1] = { ...before, last: range.last };
    else found.push(range);
  }
  return found;
}

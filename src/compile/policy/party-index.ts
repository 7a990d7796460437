import type { EndpointMatch, Labels } from "../../model/policy.ts";
import { endpointMatches } from "./claim.ts";
import { requiredLabel } from "./match-index.ts";
import type { Party } from "./population.ts";
import { yes } from "./truth.ts";

/** Parties of endpoints, found by a match: through its narrowest demand, all of them only if it demands nothing. */
export class PartyIndex {
  readonly #all = new Set<Party>();
  readonly #byNamespace = new Map<string, Set<Party>>();
  readonly #byLabel = new Map<string, Set<Party>>();
  readonly #byNamespaceLabel = new Map<string, Set<Party>>();

  get all(): ReadonlySet<Party> {
    return this.#all;
  }

  add(party: Party): void {
    if (!this.#all.has(party)) this.#file(party, (files, key) => (files.get(key) ?? made(files, key)).add(party));
    this.#all.add(party);
  }

  delete(party: Party): void {
    if (!this.#all.delete(party)) return;
    this.#file(party, (files, key) => {
      const file = files.get(key);
      file?.delete(party);
      if (file?.size === 0) files.delete(key);
    });
  }

  /** Those that certainly match. */
  matching(match: EndpointMatch): readonly Party[] {
    const found: Party[] = [];
    for (const file of this.#narrowest(match)) {
      for (const party of file) if (endpointMatches(match, party.claim) === yes) found.push(party);
    }
    return found;
  }

  #narrowest({ namespace, namespaces, labels }: EndpointMatch): readonly ReadonlySet<Party>[] {
    const label = requiredLabel(labels);
    const place = requiredLabel(namespaces);
    const choices: (readonly ReadonlySet<Party>[])[] = [[this.#all]];
    if (label !== undefined) choices.push(filesOf(this.#byLabel, pairsOf(label)));
    if (namespace !== undefined) choices.push(filesOf(this.#byNamespace, [namespace]));
    else if (place !== undefined) choices.push(filesOf(this.#byNamespaceLabel, pairsOf(place)));
    let best: readonly ReadonlySet<Party>[] = [];
    let least = Number.POSITIVE_INFINITY;
    for (const choice of choices) {
      const size = choice.reduce((sum, file) => sum + file.size, 0);
      if (size < least) [best, least] = [choice, size];
    }
    return best;
  }

  #file({ claim }: Party, visit: (files: Map<string, Set<Party>>, key: string) => void): void {
    if ("own" in claim || claim.known === undefined) return;
    visit(this.#byNamespace, claim.namespace);
    for (const pair of labelPairs(claim.known.labels)) visit(this.#byLabel, pair);
    for (const pair of labelPairs(claim.known.namespaceLabels)) visit(this.#byNamespaceLabel, pair);
  }
}

const labelPairs = (labels: Labels): readonly string[] =>
  Object.entries(labels).map(([key, value]) => `${key}=${value}`);

const pairsOf = ({ key, values }: { key: string; values: readonly string[] }): readonly string[] =>
  [...new Set(values)].map((value) => `${key}=${value}`);

const filesOf = (files: ReadonlyMap<string, Set<Party>>, keys: readonly string[]): readonly ReadonlySet<Party>[] =>
  keys.flatMap((key) => files.get(key) ?? []);

function made(files: Map<string, Set<Party>>, key: string): Set<Party> {
  const file = new Set<Party>();
  files.set(key, file);
  return file;
}

import type { EndpointMatch, Labels, Selector } from "../../model/policy.ts";
import type { KnownEndpoint } from "./claim.ts";

/** A label that must have one of these values. */
interface Required {
  readonly key: string;
  readonly values: readonly string[];
}

/** The narrowest demand of one label that a selector makes, if it makes any. */
export function requiredLabel(selector: Selector | undefined): Required | undefined {
  if (selector === undefined) return undefined;
  if (selector.op === "in") return selector;
  if (selector.op !== "and") return undefined;
  let narrowest: Required | undefined;
  for (const one of selector.of) {
    const required = requiredLabel(one);
    if (required !== undefined && (narrowest === undefined || required.values.length < narrowest.values.length)) {
      narrowest = required;
    }
  }
  return narrowest;
}

/**
 * Matches, found by an endpoint that may match them. Each is filed under what it demands of the namespace and of a label; an
 * endpoint asks for each of its own. Only those that demand neither are looked at every time.
 */
export class MatchIndex<T> {
  readonly #files = new Map<string, Set<T>>();

  add(match: EndpointMatch, value: T): void {
    for (const key of filesOf(match)) {
      const file = this.#files.get(key);
      if (file === undefined) this.#files.set(key, new Set([value]));
      else file.add(value);
    }
  }

  delete(match: EndpointMatch, value: T): void {
    for (const key of filesOf(match)) {
      const file = this.#files.get(key);
      file?.delete(value);
      if (file?.size === 0) this.#files.delete(key);
    }
  }

  /** All that match, and more. */
  candidates(
    namespace: string,
    { labels, namespaceLabels }: Pick<KnownEndpoint, "labels" | "namespaceLabels">,
  ): readonly T[] {
    const found: T[] = [];
    const places = ["", `=${namespace}`, ...pairsOf(namespaceLabels).map((pair) => `@${pair}`)];
    const pairs = ["", ...pairsOf(labels)];
    for (const place of places) {
      for (const pair of pairs) {
        const file = this.#files.get(`${place}|${pair}`);
        if (file !== undefined) for (const value of file) found.push(value);
      }
    }
    return found;
  }
}

const pairsOf = (labels: Labels): readonly string[] => Object.entries(labels).map(([key, value]) => `${key}=${value}`);

/** A match stands in as many files as its demands have values; an endpoint has one value of each, so it finds it once. */
function filesOf({ namespace, namespaces, labels }: EndpointMatch): readonly string[] {
  const place = requiredLabel(namespaces);
  const places =
    namespace !== undefined
      ? [`=${namespace}`]
      : place === undefined
        ? [""]
        : [...new Set(place.values)].map((value) => `@${place.key}=${value}`);
  const label = requiredLabel(labels);
  const pairs = label === undefined ? [""] : [...new Set(label.values)].map((value) => `${label.key}=${value}`);
  return places.flatMap((one) => pairs.map((pair) => `${one}|${pair}`));
}

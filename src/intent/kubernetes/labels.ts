import type { Labels } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { isSubdomain } from "../subdomain.ts";
import { inside, membersOf, readText, withoutProse } from "./reading.ts";

/** k8s.io/apimachinery pkg/util/validation: IsQualifiedName, IsValidLabelValue. */
const namePart = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

export function isLabelKey(key: string): boolean {
  const slash = key.indexOf("/");
  return slash < 0 ? namePart.test(key) : isSubdomain(key.slice(0, slash)) && namePart.test(key.slice(slash + 1));
}

export const isLabelValue = (value: string): boolean => value === "" || namePart.test(value);

const KEY_FORM = "use letters, digits, - _ and ., at most 63, perhaps with a domain and / before: example.com/role";
const VALUE_FORM = "use letters, digits, - _ and ., at most 63, beginning and ending with a letter or digit";

/** @throws JsonError. */
export function checkLabelKey(place: Place, key: string): string {
  if (!isLabelKey(key)) throw wrong(place, `${JSON.stringify(key.slice(0, 80))} cannot be a label`, KEY_FORM);
  return key;
}

/** @throws JsonError. */
export function readLabelKey(place: Place): string {
  return checkLabelKey(place, readText(place));
}

/** @throws JsonError. */
export function readLabelValue(place: Place): string {
  const value = readText(place);
  if (isLabelValue(value)) return value;
  throw wrong(place, `${described(place)} cannot be a label's value`, withoutProse(value, isLabelValue) ?? VALUE_FORM);
}

/** Of an object's metadata, or matchLabels: in the order of their keys. @throws JsonError. */
export function readLabels(place: Place): Labels {
  const pairs = membersOf(place).map(({ key, value }): [string, string] => {
    const at = inside(place, key, value);
    // An absent value is the empty one in Go's map of strings.
    return [checkLabelKey(at, key), value.kind === "null" ? "" : readLabelValue(at)];
  });
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(pairs);
}

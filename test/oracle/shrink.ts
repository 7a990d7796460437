/**
 * The smallest value of which `fails` still holds that can be reached by leaving things out: objects, rules, peers, labels. What
 * the APIs require is never left out, so that a shrunk policy fails for the same reason as the whole.
 */
export function shrink<T>(whole: T, fails: (smaller: T) => boolean): T {
  let best = whole;
  for (let again = true; again; ) {
    again = false;
    // Larger parts stand further out, so most goes at once.
    for (const path of removable(best).sort((a, b) => a.length - b.length)) {
      const smaller = without(best, path);
      if (smaller === undefined || !holds(fails, smaller)) continue;
      best = smaller;
      again = true;
      break;
    }
  }
  return best;
}

function holds<T>(fails: (value: T) => boolean, value: T): boolean {
  try {
    return fails(value);
  } catch {
    return false;
  }
}

type Path = readonly (string | number)[];

/** Fields that may be absent, and whose absence is no other error. */
const optional = new Set([
  "labels",
  "matchLabels",
  "matchExpressions",
  "podSelector",
  "namespaceSelector",
  "policyTypes",
  "endPort",
  "except",
  "ports",
  "protocols",
  "protocol",
  "ingress",
  "egress",
  "initContainers",
  "hostNetwork",
  "podIP",
]);

/** Lists that must keep an item. */
const nonEmpty = new Set(["values", "networks", "containers", "to", "from", "protocols", "domainNames"]);

function removable(value: unknown, path: Path = [], found: Path[] = []): Path[] {
  if (Array.isArray(value)) {
    const keeps = nonEmpty.has(String(path.at(-1))) && value.length === 1;
    value.forEach((item, index) => {
      if (!keeps) found.push([...path, index]);
      removable(item, [...path, index], found);
    });
  } else if (typeof value === "object" && value !== null) {
    const parent = String(path.at(-1));
    for (const [key, part] of Object.entries(value)) {
      const label = parent === "labels" || parent === "matchLabels";
      if (label || (optional.has(key) && !isRequired(key, value))) found.push([...path, key]);
      removable(part, [...path, key], found);
    }
  }
  return found;
}

/** A peer must say something, and a namespaced pod both. */
const isRequired = (key: string, within: object): boolean =>
  (key === "podSelector" || key === "namespaceSelector") &&
  (Object.keys(within).length === 1 || ("podSelector" in within && "namespaceSelector" in within));

/** A copy without the part at the path. */
function without<T>(value: T, path: Path): T | undefined {
  const copy = structuredClone(value);
  let holder: unknown = copy;
  for (const step of path.slice(0, -1)) holder = part(holder, step);
  const last = path.at(-1);
  if (Array.isArray(holder) && typeof last === "number") holder.splice(last, 1);
  else if (typeof holder === "object" && holder !== null && last !== undefined) Reflect.deleteProperty(holder, last);
  else return undefined;
  return copy;
}

const part = (of: unknown, step: string | number): unknown =>
  typeof of === "object" && of !== null ? Reflect.get(of, step) : undefined;

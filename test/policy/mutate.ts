import { pick, type Random } from "../../src/base/random.ts";

/** What hands, editors and templates make of a policy: the text of one, damaged in one to three places. */
export function mutatePolicy(random: Random, policy: object): string {
  let value: unknown = structuredClone(policy);
  for (let count = 1 + random.below(3); count > 0; count--) value = mutateValue(random, value);
  const text = JSON.stringify(value);
  return random.below(8) === 0 ? damageText(random, text) : text;
}

interface Spot {
  readonly parent: Record<string, unknown> | unknown[];
  readonly key: string | number;
}

/** Every field and item below spec, and spec itself: names and kinds are checked by other tests. */
function spotsOf(value: unknown): Spot[] {
  const spots: Spot[] = [];
  const visit = (current: unknown): void => {
    if (Array.isArray(current)) {
      current.forEach((item, key) => {
        spots.push({ parent: current, key });
        visit(item);
      });
    } else if (typeof current === "object" && current !== null) {
      for (const [key, item] of Object.entries(current)) {
        if (current === value && key !== "spec" && key !== "metadata") continue;
        spots.push({ parent: current as Record<string, unknown>, key });
        visit(item);
      }
    }
  };
  visit(value);
  return spots;
}

/** Things that a person or a template may have written there. */
const strangers: readonly unknown[] = [
  null,
  "",
  0,
  -1,
  80,
  65536,
  1.5,
  true,
  [],
  {},
  [{}],
  [null],
  "all",
  "*",
  "Ingress by default denied",
  "TCP",
  "tcp",
  "10.0.0.0/8",
  "10.0.0.5/8",
  "0.0.0.0/0",
  "::/0",
  "10.0.0.0/33",
  "web",
  { matchLabels: { app: "web" } },
  { matchLabels: { app: 1 } },
  { app: "web" },
  { podSelector: {} },
  { namespaces: {} },
  { namespaceSelector: {} },
  { ipBlock: { cidr: "0.0.0.0/0" } },
  { later: "version" },
];

const names = [
  "podSelector",
  "namespaceSelector",
  "ipBlock",
  "from",
  "to",
  "ports",
  "protocol",
  "except",
  "nodes",
  "later",
  "matchLabels",
  "operator",
  "values",
  "endPort",
  "destinationNamedPort",
  "tcp",
  "networks",
];

function mutateValue(random: Random, value: unknown): unknown {
  const spots = spotsOf(value);
  if (spots.length === 0) return value;
  const { parent, key } = pick(random, spots);
  const current = (parent as Record<string | number, unknown>)[key];
  switch (random.below(8)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      break;
    case 1:
      if (!Array.isArray(parent)) {
        delete parent[key];
        parent[misspelt(random, String(key))] = current;
      }
      break;
    case 2:
      if (Array.isArray(parent)) parent.push(structuredClone(pick(random, parent)));
      else parent[pick(random, names)] = structuredClone(pick(random, strangers));
      break;
    case 3:
      put(parent, key, [current]);
      break;
    case 4:
      if (typeof current === "string" || typeof current === "number") put(parent, key, nearby(random, current));
      break;
    case 5:
      // Two fields that change their places, as after a wrong indentation.
      swap(random, spots, { parent, key }, current);
      break;
    default:
      put(parent, key, structuredClone(pick(random, strangers)));
  }
  return value;
}

const put = (parent: Record<string, unknown> | unknown[], key: string | number, value: unknown): void => {
  (parent as Record<string | number, unknown>)[key] = value;
};

function swap(random: Random, spots: readonly Spot[], one: Spot, value: unknown): void {
  const other = pick(random, spots);
  const theirs = (other.parent as Record<string | number, unknown>)[other.key];
  // Never a thing into itself.
  if (contains(value, other.parent) || contains(theirs, one.parent)) return;
  put(one.parent, one.key, theirs);
  put(other.parent, other.key, value);
}

const contains = (outer: unknown, inner: unknown): boolean =>
  outer === inner ||
  (typeof outer === "object" && outer !== null && Object.values(outer).some((part) => contains(part, inner)));

function misspelt(random: Random, name: string): string {
  const at = random.below(name.length + 1);
  const ways = [
    name.slice(0, at) + name.slice(at + 1),
    `${name.slice(0, at)}x${name.slice(at)}`,
    name.toUpperCase(),
    `${name}s`,
  ];
  return pick(random, ways);
}

function nearby(random: Random, value: string | number): string | number {
  if (typeof value === "number") return pick(random, [String(value), value + 0.5, -value, value * 1000]);
  return pick(random, [
    `${value} `,
    `${value} # why`,
    value.toUpperCase(),
    value.slice(1),
    `"${value}"`,
    `${value} as you like`,
  ]);
}

function damageText(random: Random, text: string): string {
  const at = random.below(text.length);
  return (
    text.slice(0, at) +
    pick(random, ["", "{", "}", ",", '"', "\\", "\u0000", "null"]) +
    text.slice(at + random.below(3))
  );
}

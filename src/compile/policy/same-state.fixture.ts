import { decisionContent, type PolicyChange, type PolicyState, portKey } from "../../model/policy-state.ts";

/**
 * Whether two states are the same up to their numbers.
 * @returns what differs, in words; undefined: nothing.
 */
export function difference(a: PolicyState, b: PolicyState): string | undefined {
  const classes = new Pairing("class", [
    [0, 0],
    [1, 1],
  ]);
  const groups = new Pairing("group", [[0, 0]]);
  const problems: (string | undefined)[] = [];
  const sizes = (["addresses", "ports", "decisions", "verdicts"] as const).map((table) =>
    a[table].size === b[table].size ? undefined : `${table}: ${a[table].size} rows and ${b[table].size}`,
  );
  problems.push(...sizes);
  for (const [address, row] of a.addresses) {
    const other = b.addresses.get(address);
    if (other === undefined) return `${address} is missing`;
    problems.push(classes.pair(row.class, other.class), groups.pair(row.ingress, other.ingress));
    problems.push(groups.pair(row.egress, other.egress));
  }
  const ranges = ({ networks }: PolicyState) => networks.map(({ first, last }) => `${first}-${last}`).join(" ");
  if (ranges(a) !== ranges(b)) problems.push(`networks: ${ranges(a)} and ${ranges(b)}`);
  for (const [index, row] of a.networks.entries()) {
    problems.push(classes.pair(row.class, b.networks[index]?.class ?? -1));
  }
  const ports = new Map<string, Pairing>();
  for (const [key, row] of a.ports) {
    const group = groups.other(row.group);
    const other = b.ports.get(portKey(group ?? -1, row.protocol, row.first));
    if (other === undefined || other.last !== row.last) return `ports: ${key} is missing`;
    const scope = `${row.group}/${row.protocol}`;
    const pairing = ports.get(scope) ?? new Pairing(`port of ${scope}`, [[0, 0]]);
    ports.set(scope, pairing);
    problems.push(pairing.pair(row.class, other.class));
  }
  for (const [key, number] of a.decisions) {
    const [group = 0, of = 0, protocol = 0, port = 0] = key.split("/").map(Number);
    const portNow = ports.get(`${group}/${protocol}`)?.other(port) ?? port;
    const otherKey = `${groups.other(group)}/${classes.other(of)}/${protocol}/${portNow}`;
    const other = b.decisions.get(otherKey);
    if (other === undefined) return `decisions: ${key} is missing as ${otherKey}`;
    const [one, two] = [a.verdicts.get(number), b.verdicts.get(other)];
    if (one === undefined || two === undefined) return `verdicts: ${number} or ${other} is missing`;
    if (decisionContent(one) !== decisionContent(two)) {
      return `decisions: ${key} is ${decisionContent(one)} and ${decisionContent(two)}`;
    }
  }
  return problems.find((problem) => problem !== undefined);
}

class Pairing {
  readonly #what: string;
  readonly #there = new Map<number, number>();
  readonly #back = new Map<number, number>();

  constructor(what: string, known: readonly (readonly [number, number])[]) {
    this.#what = what;
    for (const [one, two] of known) this.pair(one, two);
  }

  pair(one: number, two: number): string | undefined {
    const [there, back] = [this.#there.get(one), this.#back.get(two)];
    if (there === undefined && back === undefined) {
      this.#there.set(one, two);
      this.#back.set(two, one);
      return undefined;
    }
    return there === two && back === one ? undefined : `${this.#what} ${one} is ${two} here and ${there} there`;
  }

  other(one: number): number | undefined {
    return this.#there.get(one);
  }
}

/** What somebody knows who only hears of changes. */
export class Mirror {
  readonly state = {
    addresses: new Map(),
    networks: [] as PolicyState["networks"],
    ports: new Map(),
    decisions: new Map(),
    verdicts: new Map(),
  };

  apply(change: PolicyChange): void {
    for (const table of ["addresses", "ports", "decisions", "verdicts"] as const) {
      const rows: Map<unknown, unknown> = this.state[table];
      for (const [key, row] of change[table]) {
        if (row === undefined) rows.delete(key);
        else rows.set(key, row);
      }
    }
    this.state.networks = change.networks ?? this.state.networks;
  }
}

/** Everything printed, numbers too. */
export const printed = ({ addresses, networks, ports, decisions, verdicts }: PolicyState): string =>
  JSON.stringify({
    addresses: [...addresses].sort(),
    networks,
    ports: [...ports].sort(),
    decisions: [...decisions].sort(),
    verdicts: [...verdicts].sort(([a], [b]) => a - b),
  });

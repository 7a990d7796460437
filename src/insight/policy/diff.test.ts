import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../base/address.ts";
import { seededRandom } from "../../base/random.ts";
import { Evaluator } from "../../compile/policy/evaluate.ts";
import type { PolicyModel, PolicyNode, WorkloadEndpoint } from "../../model/policy.ts";
import { hasBit } from "./bits.ts";
import { diffPolicies, type PolicyDiff } from "./diff.ts";
import { changedCluster, randomCluster } from "./random-cluster.fixture.ts";
import { describePoint, holds, pointOf } from "./traffic.ts";
import { type Kind, outsideKind } from "./universe.ts";

/** On both sides of every boundary that the random policies have. */
const points = [52, 53, 54, 78, 79, 80, 81, 82, 83, 8079, 8080, 8081, 8082, 8083]
  .flatMap((port) => [6, 17, 132].map((protocol) => [protocol, port] as const))
  .concat([
    [1, 8 * 256],
    [1, 7 * 256],
    [47, 0],
    [46, 0],
    [58, 128 * 256],
    [58, 135 * 256],
  ]);

const strangers = [
  "1.2.3.4",
  "8.8.8.8",
  "10.9.9.9",
  "10.1.9.9",
  "10.1.1.200",
  "192.168.9.9",
  "fd00::9",
  "fd00:1::99",
  "2001:db8::1",
];

interface End {
  readonly address: Address;
  readonly pod?: WorkloadEndpoint;
  readonly node?: PolicyNode;
}

/** Every address there is, and some of nobody's. */
function endsOf(model: PolicyModel): readonly End[] {
  const pods = [...model.endpoints.values()].flatMap((pod) => pod.addresses.map((address) => ({ address, pod })));
  const nodes = [...model.nodes.values()].flatMap((node) => node.addresses.map((address) => ({ address, node })));
  const taken = new Set<Address>([...pods, ...nodes].map(({ address }) => address));
  return [
    ...pods,
    ...nodes,
    ...strangers.map(parseAddress).flatMap((address) => (taken.has(address) ? [] : [{ address }])),
  ];
}

function kindOf({ universe }: PolicyDiff, end: End, other: End): Kind | undefined {
  const at = <T extends { readonly addresses: readonly Address[] }>(of: T, kinds: readonly Kind[] | undefined) =>
    kinds?.[of.addresses.indexOf(end.address)];
  if (end.pod !== undefined) return at(end.pod, universe.ofEndpoint.get(`${end.pod.namespace}/${end.pod.pod}`));
  if (end.node === undefined) return outsideKind(universe, end.address);
  const kind = at(end.node, universe.ofNode.get(end.node.name));
  return kind !== undefined && other.pod?.node === end.node.name ? universe.ownTwin.get(kind) : kind;
}

/** What the diff says of one flow: 1 gained, -1 lost, 0 neither. */
function said(diff: PolicyDiff, source: End, destination: End, point: number): number {
  const [from, to] = [kindOf(diff, source, destination), kindOf(diff, destination, source)];
  if (from === undefined || to === undefined) throw new Error("every address is of a kind");
  const found = diff.changes.filter(
    ({ sources, destinations }) => hasBit(sources, from.index) && hasBit(destinations, to.index),
  );
  const gained = found.filter((change) => holds(change.gained, point)).length;
  const lost = found.filter((change) => holds(change.lost, point)).length;
  return gained - lost;
}

const rounds = Number(process.env.TWILL_DIFF_ROUNDS ?? 25);

test(`a diff equals brute force over all pairs and ports, in ${rounds} random clusters`, () => {
  for (let seed = 1; seed <= rounds; seed++) {
    const random = seededRandom(seed);
    const before = randomCluster(random);
    const after = changedCluster(random, before);
    const diff = diffPolicies(before, after);
    const ends = endsOf(before);
    const [old, now] = [new Evaluator(before), new Evaluator(after)];
    const wrong: string[] = [];
    for (const source of ends) {
      for (const destination of ends) {
        if (source.address.includes(":") !== destination.address.includes(":")) continue;
        if (source.pod === undefined && destination.pod === undefined) continue;
        if (source.pod !== undefined && source.pod === destination.pod) continue;
        for (const [protocol, port] of points) {
          const flow = { source: source.address, destination: destination.address, protocol, port };
          const [was, is] = [old, now].map((evaluator) => Number(evaluator.evaluate(flow).verdict === "allow"));
          const expected = (is ?? 0) - (was ?? 0);
          const got = said(diff, source, destination, pointOf(protocol, port));
          if (got !== expected)
            wrong.push(
              `seed ${seed}: ${source.address} → ${destination.address} ${describePoint(protocol, port)}: ${got}, not ${expected}`,
            );
        }
      }
    }
    expect(wrong.slice(0, 3)).toEqual([]);
  }
}, 120_000);

test("a cluster that stays as it is has no diff", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = randomCluster(seededRandom(seed));
    expect(diffPolicies(cluster, { ...cluster }).changes).toEqual([]);
  }
});

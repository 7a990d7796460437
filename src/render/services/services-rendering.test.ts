import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../base/address.ts";
import { pick, seededRandom } from "../../base/random.ts";
import type { Backend, Frontend, FrontendKey, Pool, PoolName, ServicesChange } from "../../model/services-state.ts";
import { frontendKey } from "../../model/services-state.ts";
import { elementKey, type NftElement } from "../../objects/nft.ts";
import { addressData, concatenated, hostData, portData } from "../../objects/nft-data.ts";
import { dice, dieFor, largestPool, throwsOf } from "./dice.ts";
import { PoolNumbers } from "./pool-numbers.ts";
import { ServicesRendering } from "./services-rendering.ts";

test("each die serves the sizes behind the one before, with two throws of three that hit, and at last one that does", () => {
  expect(dice.slice(0, 12)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32]);
  for (let count = 1; count <= largestPool; count = Math.ceil(count * 1.1) + 1) {
    const faces = dieFor(count);
    expect(faces).toBeGreaterThanOrEqual(count);
    expect(count / faces).toBeGreaterThan(2 / 3);
    const throws = throwsOf(faces);
    expect(throws.at(-2) ?? 0).toBeLessThanOrEqual(count);
    expect(throws.at(-1)).toBe(1);
  }
});

test("pools' numbers are hashes, even, never 0, and step aside for each other", () => {
  const name = (text: string) => text as PoolName;
  expect(new PoolNumbers().of(name("a"))).toBe(new PoolNumbers().of(name("a")));
  const same = new PoolNumbers(() => 0xffff_ffff);
  expect([same.of(name("a")), same.of(name("b")), same.of(name("a"))]).toEqual([0xffff_fffe, 2, 0xffff_fffe]);
  same.forget(name("a"));
  expect(same.of(name("c"))).toBe(0xffff_fffe);
});

const addresses = Array.from({ length: 12 }, (_, index) => parseAddress(`10.244.1.${index + 2}`));
const none: ServicesChange = {
  frontends: new Map(),
  nodePorts: new Map(),
  pools: new Map(),
  clusterAddresses: new Map(),
};

test("after any changes, the elements are those of the state: each endpoint at one place, no gap, nothing left over", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const rendering = new ServicesRendering({ clusterNetworks: [], nodeAddresses: new Set<Address>() });
    const empty = { ...none, clusterAddresses: new Set<Address>() };
    const kernel = new Map<string, Map<string, NftElement>>();
    const of = (set: string): Map<string, NftElement> => {
      const found = kernel.get(set) ?? new Map<string, NftElement>();
      kernel.set(set, found);
      return found;
    };
    rendering.table(empty as never);
    const pools = new Map<PoolName, Pool>();
    const frontends = new Map<FrontendKey, Frontend>();
    for (let step = 0; step < 60; step++) {
      const name = `4 shop/s${random.below(4)}:80/6 cluster` as PoolName;
      const chosen = addresses.filter(() => random.below(2) === 0);
      const pool = random.below(5) === 0 ? undefined : poolOf(chosen, random.below(3) === 0 ? 1 + random.below(2) : 0);
      const key = frontendKey(pick(random, addresses), 6, 80);
      const frontend = pool && { service: "shop/s", inside: name, outside: name };
      const change = { ...none, pools: new Map([[name, pool]]), frontends: new Map([[key, frontend]]) };
      set(pools, name, pool);
      set(frontends, key, frontend);
      const patch = rendering.change(change);
      if (patch === undefined) {
        kernel.clear();
        const state = { frontends, nodePorts: new Map(), pools, clusterAddresses: new Set<Address>() };
        for (const {
          set: { name: set },
          elements,
        } of rendering.table(state).sets) {
          for (const element of elements) of(set).set(elementKey(element), element);
        }
      } else {
        for (const { set, put, remove } of patch) {
          for (const each of remove) of(set).delete(each);
          for (const each of put) of(set).set(elementKey(each), each);
        }
      }
      const number = rendering.poolNumber(name) ?? 0;
      const places = (pools.get(name)?.backends ?? []).map((_, index) =>
        concatenated(hostData(number), hostData(index)),
      );
      const held = places.map((place) => of("endpoints4").get(place)?.data as string);
      expect(held.toSorted()).toEqual((pools.get(name)?.backends ?? []).map(dataOf).toSorted());
    }
    const total = [...pools.values()].reduce((sum, { backends }) => sum + backends.length, 0);
    const affine = [...pools.values()].filter(({ affinitySeconds }) => affinitySeconds !== undefined);
    const local = new Set(
      [...pools.values()].flatMap(({ backends }) =>
        backends.filter((each) => each.local).map(({ address }) => address),
      ),
    );
    const sizes = Object.fromEntries([...kernel].map(([name, elements]) => [name, elements.size]));
    expect({ seed, ...sizes }).toMatchObject({
      endpoints4: total,
      pools: pools.size,
      frontends4: frontends.size,
      local_endpoints4: local.size,
    });
    expect(sizes.members4 ?? 0).toBe(affine.reduce((sum, { backends }) => sum + backends.length, 0));
    expect(sizes.affine ?? 0).toBe(affine.filter(({ backends }) => backends.length > 0).length);
  }
});

const dataOf = ({ address, port }: Backend): string => concatenated(addressData(address), portData(port));

const poolOf = (chosen: readonly Address[], seconds: number): Pool => ({
  service: "shop/s",
  family: 4,
  protocol: 6,
  backends: chosen.map((address) => ({ address, port: 80, local: address < "10.244.1.5" })),
  empty: "refuse",
  ...(seconds > 0 && { affinitySeconds: seconds }),
});

function set<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

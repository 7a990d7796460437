import { expect, test } from "bun:test";
import { dualStack, macOf, onlyFamily } from "../backend/backend.contract.ts";
import { parsePrefix } from "../base/prefix.ts";
import { pick, type Random, seededRandom } from "../base/random.ts";
import type { Lease } from "../model/network.ts";
import type { OwnState, PeerState, StateChange } from "../model/node-state.ts";
import { config, hostileLease, local, network, peer, shuffled } from "./compile.fixture.ts";
import { compile } from "./compile.ts";
import { Compiler, type LeaseSource } from "./compiler.ts";
import type { CompileInput } from "./own-state.ts";

/** As a Reflector, without the datastore. */
class Leases implements LeaseSource {
  readonly all = new Map<string, Lease>();
  readonly get = (name: string) => this.all.get(name);
  readonly objects = () => this.all;
}

const parts = ({ own, peers }: { own: OwnState | undefined; peers: ReadonlyMap<string, PeerState> }) => ({
  ...{ own, peers: Object.fromEntries(peers) },
});

/** A receiver that knows nothing but the changes. */
class Follower {
  own: OwnState | undefined;
  readonly peers = new Map<string, PeerState>();

  take({ own, peers }: StateChange): void {
    if (own !== undefined) {
      this.own = own;
      this.peers.clear();
    }
    for (const [name, part] of peers) {
      if (part === undefined) this.peers.delete(name);
      else this.peers.set(name, part);
    }
  }
}

const inputs: readonly CompileInput[] = [
  { network, local },
  { network, local: { ...local, subnets: [parsePrefix("10.244.7.0/24"), parsePrefix("fd00:10:244:7::/64")] } },
  { network, local: { ...local, macs: { ...local.macs, "flannel.1": macOf(3) } } },
  { network: onlyFamily(network, 4), local },
  { network: dualStack({ ...config, directRouting: true }), local },
  { network: dualStack({ type: "host-gw" }), local },
];

/** What a cluster may do between two updates. */
function shake(random: Random, leases: Leases): string[] {
  const name = `node-${random.below(20)}`;
  if (random.below(3) === 0) leases.all.delete(name);
  else leases.all.set(name, hostileLease(random, random.below(15) === 0 ? "liar" : name));
  return [name];
}

test("property: any changes, in any portions and order of news, give exactly what one compile of everything gives", () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = seededRandom(seed);
    const leases = new Leases();
    const compiler = new Compiler(leases);
    const follower = new Follower();
    let input = pick(random, inputs);
    for (let step = 0; step < 25; step++) {
      if (random.below(12) === 0) input = pick(random, inputs);
      const news = Array.from({ length: random.below(5) }, () => shake(random, leases)).flat();
      for (const name of shuffled(random, news)) compiler.mark(name);
      const { state, change } = compiler.update(structuredClone(input));
      follower.take(change);
      const fresh = new Compiler(leases).update(input).state;
      const wanted = { seed, step, ...parts(fresh) };
      expect({ seed, step, ...parts(state) }).toEqual(wanted);
      expect({ seed, step, ...parts(follower) }).toEqual(wanted);
    }
  }
});

test("a change of one lease makes one part anew and leaves the others the very same", () => {
  const leases = new Leases();
  for (let number = 1; number <= 100; number++) leases.all.set(peer(number).node, peer(number));
  const compiler = new Compiler(leases);
  const before = new Map(compiler.update({ network, local }).state.peers);
  leases.all.set("node-050", peer(50, { backendData: peer(150).backendData }));
  compiler.mark("node-050");
  const { state, change } = compiler.update({ network, local });
  expect([...change.peers.keys()]).toEqual(["node-050"]);
  expect(change.own).toBeUndefined();
  const other = [...state.peers].filter(([name, part]) => before.get(name) !== part).map(([name]) => name);
  expect(other).toEqual(["node-050"]);
  expect(compiler.update({ network, local }).change.peers.size).toBe(0);
});

test("a subnet that moves, and one that two claim until the first lets go", () => {
  const leases = new Leases();
  const compiler = new Compiler(leases);
  const put = (...changed: readonly Lease[]) => {
    for (const lease of changed) leases.all.set(lease.node, lease);
    for (const { node } of changed) compiler.mark(node);
    const { peers } = compiler.update({ network, local }).state;
    return [...peers].map(([name, part]) => [name, part.routes.length, part.problems.length]).sort();
  };
  const [first, second] = [peer(1), peer(2, { subnets: peer(1).subnets })];
  expect(put(second)).toEqual([["node-002", 2, 0]]);
  expect(put(first)).toEqual([
    ["node-001", 2, 0],
    ["node-002", 0, 2],
  ]);
  expect(put({ ...first, subnets: peer(9).subnets })).toEqual([
    ["node-001", 2, 0],
    ["node-002", 2, 0],
  ]);
  leases.all.delete("node-001");
  compiler.mark("node-001");
  const { peers } = compiler.update({ network, local }).change;
  expect([...peers]).toEqual([["node-001", undefined]]);
});

test("compile is the same in one go", () => {
  const leases = new Leases();
  const random = seededRandom(5);
  for (let count = 0; count < 30; count++) leases.all.set(`node-${count}`, hostileLease(random, `node-${count}`));
  const state = compile({ network, local }, [...leases.all.values()]);
  const followed = new Compiler(leases).update({ network, local }).state;
  expect(parts(state)).toEqual(parts(followed));
});

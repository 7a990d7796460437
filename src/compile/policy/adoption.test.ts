import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { seededRandom } from "../../base/random.ts";
import type { PolicyState } from "../../model/policy-state.ts";
import { compilePolicy, type HeldPolicy, PolicyCompiler } from "./compiler.ts";
import { emptyModel, RandomPolicy } from "./random-model.fixture.ts";
import { difference, printed } from "./same-state.fixture.ts";

const node = "node1";

const heldOf = (state: PolicyState): HeldPolicy => ({
  addresses: new Map(state.addresses),
  networks: state.networks,
  ports: new Map(state.ports),
  decisions: new Map(state.verdicts),
});

test("a restart among the same policies finds every number again", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const policy = new RandomPolicy(random);
    const model = policy.model();
    const compiler = new PolicyCompiler(model, { node });
    compiler.update();
    // Some history, so that the numbers are not those of a first start.
    for (let count = 0; count < 10; count++) {
      compiler.update({
        policies: new Set([policy.putPolicy(model)]),
        endpoints: new Set([policy.putEndpoint(model)]),
      });
    }
    const restarted = new PolicyCompiler(model, { node, held: heldOf(compiler.state) });
    restarted.update();
    // Classes without any address are of no row that could tell their number.
    const { addresses, networks, ports, verdicts } = restarted.state;
    const now = { addresses, networks, ports, verdicts, decisions: new Map() };
    expect({ seed, rows: printed(now) }).toEqual({ seed, rows: printed({ ...compiler.state, decisions: new Map() }) });
    expect({ seed, difference: difference(compiler.state, restarted.state) }).toEqual({ seed, difference: undefined });
  }
}, 60_000);

test("policies that changed meanwhile are compiled as ever, and a number never stands for another decision", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const policy = new RandomPolicy(seededRandom(seed));
    const model = policy.model();
    const before = compilePolicy(model, { node });
    const held = heldOf(before);
    for (let count = 0; count < 5; count++) {
      policy.putPolicy(model);
      policy.putEndpoint(model);
    }
    const restarted = new PolicyCompiler(model, { node, held });
    const change = restarted.update();
    expect(difference(compilePolicy(model, { node }), restarted.state)).toBeUndefined();
    for (const [number, decision] of restarted.state.verdicts) {
      const meant = held.decisions.get(number);
      if (meant !== undefined) expect(decision).toEqual(meant);
    }
    for (const address of held.addresses.keys()) {
      if (!restarted.state.addresses.has(address)) expect(change.addresses.has(address)).toBe(true);
    }
  }
}, 60_000);

test("the number of a decision out of use is its own until no connection bears it", () => {
  const model = emptyModel();
  const policy = new RandomPolicy(seededRandom(3));
  model.namespaces.set("a", { name: "a", labels: {} });
  model.tiers.set("first", { name: "first", order: 1, defaultAction: "deny" });
  model.endpoints.set("a/p", {
    namespace: "a",
    pod: "p",
    node,
    labels: {},
    addresses: [parseAddress("10.0.1.1")],
    ports: [],
  });
  const compiler = new PolicyCompiler(model, { node });
  const put = (name: string) => {
    const id = { kind: "NetworkPolicy", namespace: "a", name } as const;
    model.policies.set("x", {
      ...policy.policy(),
      id,
      tier: "first",
      order: 1,
      subject: {},
      ingress: [],
      allowsOwnNode: false,
    });
    compiler.update({ policies: new Set(["x"]) });
    return [...compiler.state.verdicts.keys()];
  };
  model.policies.clear();
  const first = put("one");
  const second = put("two");
  expect(second.filter((number) => first.includes(number))).toEqual([]);
  expect(put("one")).toEqual(first);
  compiler.decisionNumbers.forget((number) => second.includes(number));
  expect([...compiler.decisionNumbers.decisions.keys()].sort()).toEqual([...first, ...second].sort());
  compiler.decisionNumbers.forget(() => false);
  expect([...compiler.decisionNumbers.decisions.keys()]).toEqual(first);
});

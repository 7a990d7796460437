import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { compilePolicy } from "../../src/compile/policy/compiler.ts";
import { modelOf } from "../../src/insight/policy/model-part.ts";
import type { NftSetName } from "../../src/objects/nft.ts";
import { elementKey, type NftElement } from "../../src/objects/nft.ts";
import { addressData, hostData } from "../../src/objects/nft-data.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import { sceneModel } from "../cli/policy-scene.fixture.ts";
import { PolicyQuestions } from "./policy-questions.ts";

const [web, cart, postgres] = ["10.244.1.5", "10.244.2.6", "10.244.2.7"].map(parseAddress) as [
  Address,
  Address,
  Address,
];
const sql = { protocol: 6, port: 5432 };

/** A node whose kernel holds what it should, but for what `damage` does to it. */
function questions(damage: (elements: Map<string, Map<string, NftElement>>) => void = () => {}): PolicyQuestions {
  const model = sceneModel();
  const state = compilePolicy(
    model,
    { node: "node2" },
    new Map([
      ["db/postgres-0", [postgres]],
      ["shop/cart-0", [cart]],
    ]),
  );
  const { sets } = new PolicyRendering({ established: "keep", deny: "drop", unknownPodsAllowed: false }).table(state);
  const elements = new Map(
    sets.map(({ set, elements: all }) => [
      set.name,
      new Map(all.map((one) => [elementKey(one), { ...one, packets: 3n, bytes: 180n }])),
    ]),
  );
  damage(elements);
  return new PolicyQuestions({
    node: "node2",
    nft: { elements: ({ set }: NftSetName) => [...(elements.get(set)?.values() ?? [])] },
    policy: { model, state },
    ownAddresses: () => new Set([parseAddress("172.16.0.2")]),
  });
}

test("the rows that decide, as the kernel has them, with what they counted", () => {
  const held = questions().rows({ source: cart, destination: postgres, ...sql });
  expect(held).toMatchObject({
    node: "node2",
    rows: [{ direction: "ingress", decision: { verdict: "deny" }, packets: 3, bytes: 180, differences: [] }],
  });
  const allowed = questions().rows({ source: web, destination: postgres, ...sql });
  expect(allowed.rows?.[0]).toMatchObject({
    decision: { verdict: "allow", reason: { by: "rule", rule: 0 } },
    differences: [],
  });
  // The node's own packets are asked about nothing.
  expect(questions().rows({ source: parseAddress("172.16.0.2"), destination: postgres, ...sql }).rows).toEqual([]);
});

test("each difference of the kernel's is told", () => {
  const flow = { source: cart, destination: postgres, ...sql };
  const number = questions().rows(flow).rows?.[0]?.number ?? 0;
  const differences = (damage: Parameters<typeof questions>[0]) => questions(damage).rows(flow).rows?.[0]?.differences;
  expect(differences((sets) => sets.get("addresses4")?.delete(addressData(postgres)))).toEqual([
    "10.244.2.7 is not in the kernel's map of addresses",
  ]);
  expect(
    differences((sets) => {
      const held = sets.get("addresses4")?.get(addressData(postgres));
      if (held !== undefined)
        sets.get("addresses4")?.set(addressData(postgres), { ...held, data: addressData(postgres) });
    }),
  ).toEqual(["the kernel judges 10.244.2.7 by other rules than the agent (ingress)"]);
  expect(differences((sets) => sets.get("decisions")?.clear())).toEqual([
    "the kernel's map of decisions has no row for it",
  ]);
  expect(
    differences((sets) => {
      const decisions = sets.get("decisions");
      for (const [key, element] of decisions ?? []) decisions?.set(key, { ...element, data: hostData(999) });
    }),
  ).toEqual(["the kernel's map of decisions leads to another decision"]);
  expect(differences((sets) => sets.get("verdicts")?.delete(hostData(number)))).toEqual([
    "the kernel does not know the decision",
  ]);
  expect(
    differences((sets) => {
      const held = sets.get("verdicts")?.get(hostData(number));
      if (held !== undefined) sets.get("verdicts")?.set(hostData(number), { ...held, data: { verdict: "return" } });
    }),
  ).toEqual(["the kernel's verdict for the decision is another one"]);
});

test("what it knows of two ends is enough to judge between them, and no more", () => {
  const part = questions().part(["shop/cart-0", "10.244.2.7"]);
  const whole = JSON.parse(JSON.stringify(part)) as typeof part;
  const { endpoints, policies, nodes } = modelOf(whole);
  expect([...endpoints.keys()]).toEqual(["shop/cart-0", "db/postgres-0"]);
  expect([...policies.keys()].sort()).toEqual(["NetworkPolicy db/allow-web", "NetworkPolicy db/default-deny"]);
  expect([...nodes.keys()]).toEqual(["node2"]);
});

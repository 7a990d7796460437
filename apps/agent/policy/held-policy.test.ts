import { expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import type { AddressRow, Decision, PolicyState, PortRow } from "../../../src/model/policy-state.ts";
import { portKey } from "../../../src/model/policy-state.ts";
import { policyTable } from "../../../src/render/policy/policy-table.ts";
import { heldPolicy } from "./held-policy.ts";

const at = (text: string) => text as Address;
const decision = (rule: number): Decision => ({
  direction: "ingress",
  verdict: rule === 0 ? "deny" : "allow",
  log: false,
  reason: { by: "rule", policy: { kind: "NetworkPolicy", namespace: "shop", name: "web" }, rule },
});
const port = (group: number, protocol: number, number: number, of: number): [string, PortRow] => [
  portKey(group, protocol, number),
  { group, protocol, first: number, last: number, class: of },
];
const state: PolicyState = {
  addresses: new Map<Address, AddressRow>([
    [at("10.0.0.1"), { class: 2, ingress: 70_000, egress: 0 }],
    [at("fd00::1"), { class: 0, ingress: 3, egress: 4 }],
  ]),
  networks: [
    { first: at("10.1.0.0"), last: at("10.1.255.255"), class: 5 },
    { first: at("10.2.0.0"), last: at("10.2.0.7"), class: 6 },
    { first: at("255.0.0.0"), last: at("255.255.255.255"), class: 7 },
    { first: at("fd01::"), last: at("fd01::ffff"), class: 8 },
  ],
  ports: new Map([port(3, 6, 80, 1), port(3, 17, 53, 2)]),
  decisions: new Map([["3/0/0/0", 1]]),
  verdicts: new Map([
    [1, decision(0)],
    [9, decision(1)],
  ]),
};
const options = { established: "keep", deny: "drop" } as const;

test("what was rendered is read back", () => {
  const held = heldPolicy(policyTable(state, options), state.verdicts);
  expect<unknown>(held).toEqual({
    addresses: state.addresses,
    networks: state.networks,
    ports: state.ports,
    decisions: state.verdicts,
  });
});

test("a number of which another meaning was written down, or none, means nothing and is nobody's", () => {
  const wrong = new Map([
    [1, decision(5)],
    [12, decision(7)],
  ]);
  const { decisions } = heldPolicy(policyTable(state, options), wrong) ?? {};
  expect([...(decisions?.keys() ?? [])].sort()).toEqual([1, 12, 9]);
  expect(JSON.stringify(decisions?.get(1))).toContain("forgotten-1");
  expect(JSON.stringify(decisions?.get(9))).toContain("forgotten-9");
  expect(decisions?.get(12)).toEqual(decision(7));
});

test("no table, and a table without policy, hold none", () => {
  expect(heldPolicy(undefined, new Map())).toBeUndefined();
  const empty = { table: { family: "inet", name: "twill" }, chains: [], rules: [], sets: [] } as const;
  expect(heldPolicy(empty, new Map())).toBeUndefined();
});

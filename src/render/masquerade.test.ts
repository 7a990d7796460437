import { expect, test } from "bun:test";
import { parsePrefix } from "../base/prefix.ts";
import type { Masquerade } from "../model/node-state.ts";
import { masqueradeTable } from "./masquerade.ts";

const dual: Masquerade = {
  networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")],
  local: [parsePrefix("10.244.3.0/24"), parsePrefix("fd00:10:244:3::/64")],
  families: [4, 6],
};

const comments = (masquerade: Masquerade | undefined, chain: string) =>
  masqueradeTable(masquerade)
    .rules.filter((rule) => rule.chain === chain)
    .map(({ comment }) => comment);

test("both families in one table", () => {
  expect(comments(dual, "forward")).toEqual([
    "from 10.244.0.0/16",
    "to 10.244.0.0/16",
    "from fd00:10:244::/56",
    "to fd00:10:244::/56",
  ]);
  expect(comments(dual, "outgoing")).toEqual([
    "kube-proxy masquerades these",
    "to 10.244.0.0/16: addresses stay",
    "to fd00:10:244::/56: addresses stay",
    "10.244.0.0/16 to the outside",
    "fd00:10:244::/56 to the outside",
  ]);
});

test("a family that is off has no rules", () => {
  expect(comments({ ...dual, families: [6] }, "forward")).toEqual(["from fd00:10:244::/56", "to fd00:10:244::/56"]);
});

test("own subnets outside the networks count as the cluster's", () => {
  const moving: Masquerade = { networks: [parsePrefix("10.99.0.0/16")], local: dual.local, families: [4] };
  expect(comments(moving, "outgoing")).toContain("10.244.3.0/24 to the outside");
  expect(comments(moving, "outgoing")).toContain("to 10.244.3.0/24: addresses stay");
});

test("without masquerade there is nothing in the table", () => {
  expect(masqueradeTable(undefined)).toMatchObject({ chains: [], rules: [], sets: [] });
});

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parsePrefix } from "../base/prefix.ts";
import type { NftChain } from "../objects/nft.ts";
import { labels, marks, priorities } from "./hooks.ts";
import { masqueradeTable } from "./masquerade.ts";
import { policyProgram } from "./policy/program.ts";
import { servicesProgram } from "./services/program.ts";

const page = readFileSync(new URL("../../docs/design/hooks.md", import.meta.url), "utf8");
/** The rows of the tables, by their first column. */
const rows = new Map(
  page
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .map(([, first = "", ...rest]) => [first, rest]),
);

test("the page has the numbers", () => {
  for (const [name, priority] of Object.entries(priorities))
    expect([name, rows.get(name)?.[2]]).toEqual([name, String(priority)]);
  expect(rows.has(marks.avoided.map((bit) => `0x${bit.toString(16)}`).join(", "))).toBe(true);
  for (const mark of [marks.twill, marks.service]) expect(rows.has(`0x${mark.toString(16)}`)).toBe(true);
  expect(rows.get(String(labels.egressDecision))?.[0]).toContain("egress");
  expect(rows.get(String(labels.ingressDecision))?.[0]).toContain("ingress");
  expect(rows.get(String(labels.cut.word))?.[0]).toContain("cut");
  expect(rows.get(String(labels.pool))?.[0]).toContain("pool");
  expect(rows.get(String(labels.epoch))?.[0]).toContain("epoch");
  for (const mark of [marks.spoofed, marks.unknownPod, marks.unreadable, marks.cut])
    expect(rows.has(`0x${mark.toString(16)}`)).toBe(true);
});

test("the chains that are rendered are those that the page calls built", () => {
  const built = (when: string) =>
    [...rows]
      .filter(([, cells]) => cells[4] === when)
      .map(([name, [hooks = "", type = "", priority = ""]]) => ({ name, hooks, type, priority }));
  const rendered = (chains: readonly NftChain[]) =>
    chains
      .filter(({ base }) => base !== undefined)
      .map(({ name, base }) => ({
        name,
        hooks: String(base?.hook),
        type: String(base?.type),
        priority: String(base?.priority),
      }));
  const masquerade = masqueradeTable({ networks: [parsePrefix("10.244.0.0/16")], local: [], families: [4] });
  expect(rendered(masquerade.chains)).toEqual(built("yes"));
  const policy = policyProgram({ established: "keep", deny: "drop", podInterfaces: "twl" });
  expect(rendered(policy.map(({ chain }) => chain))).toEqual(built("with policy"));
  const services = servicesProgram({ clusterNetworks: [], affinitySeconds: new Set() });
  expect(rendered(services.map(({ chain }) => chain))).toEqual(built("with Services"));
});

test("our mark touches no bit that others use", () => {
  for (const bit of marks.avoided) expect(marks.twill & bit).toBe(0);
});

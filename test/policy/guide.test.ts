import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../src/base/errors.ts";
import { Evaluator } from "../../src/compile/policy/evaluate.ts";
import { readManifests } from "../../src/intent/kubernetes/manifest.ts";
import { portOf, protocolNumber } from "../oracle/compiled.ts";
import { evaluate } from "../oracle/evaluate.ts";
import type { Flow } from "../oracle/flow.ts";
import { flowBetween } from "../oracle/generate-flow.ts";
import type { PolicyObject } from "../oracle/objects.ts";
import { twillModel } from "../oracle/twill-model.ts";
import { guideCluster, type Row, readGuide } from "./guide.fixture.ts";

const guide = readGuide(readFileSync(join(import.meta.dir, "../../docs/policy.md"), "utf8"));

test("the guide has examples of both APIs, and mistakes", () => {
  const kinds = guide.examples.flatMap(({ yaml }) => [...yaml.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind));
  expect(new Set(kinds)).toEqual(new Set(["NetworkPolicy", "ClusterNetworkPolicy"]));
  expect(guide.examples.length).toBeGreaterThanOrEqual(10);
  expect(guide.examples.filter(({ rows }) => rows.length < 2).map(({ title }) => title)).toEqual([]);
  expect(guide.mistakes.length).toBeGreaterThanOrEqual(2);
});

for (const { title, line, yaml, rows } of guide.examples) {
  describe(`docs/policy.md line ${line}: ${title}`, () => {
    const written = readManifests([{ source: "policy.yaml", text: yaml }], "default");
    const cluster = { ...guideCluster, policies: written.map(({ value }) => value as unknown as PolicyObject) };
    const evaluator = new Evaluator(twillModel(cluster).model);

    test("is taken without a warning", () => {
      expect(written.flatMap(({ warnings }) => warnings)).toEqual([]);
    });

    for (const row of rows) {
      test(`line ${row.line}: ${row.from} → ${row.to}: ${row.verdict}`, () => {
        const flow = flowOf(row);
        const { verdict } = evaluator.evaluate({
          source: flow.from.address,
          destination: flow.to.address,
          protocol: protocolNumber(flow),
          port: portOf(flow),
        });
        expect(["allowed", "denied"]).toContain(row.verdict);
        expect(verdict === "allow" ? "allowed" : "denied").toBe(row.verdict);
        expect(evaluate(cluster, flow).verdict).toBe(verdict);
      });
    }
  });
}

for (const { line, yaml, said } of guide.mistakes) {
  test(`docs/policy.md line ${line}: the mistake is told as the guide has it`, () => {
    let text = "";
    try {
      readManifests([{ source: "policy.yaml", text: yaml }], "default");
    } catch (error) {
      text = describeError(error);
    }
    expect(text).toBe(said.trimEnd());
  });
}

/** "shop/web" → "bank/teller TCP 80"; "node n1" and addresses may stand at either end. */
function flowOf({ from, to }: Row): Flow {
  const [, end = "", protocol, port] = /^(node \S+|\S+)(?: (TCP|UDP|SCTP|ICMP)(?: (\d+))?)$/.exec(to) ?? [];
  if (protocol === undefined) throw new Error(`"${to}" is not WHO PROTOCOL PORT`);
  return flowBetween(guideCluster, addressOf(from), addressOf(end), protocol as Flow["protocol"], Number(port ?? 0));
}

function addressOf(end: string): string {
  const { nodes, pods } = guideCluster;
  const node = nodes.find(({ metadata }) => `node ${metadata.name}` === end);
  const pod = pods.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === end);
  const address = node?.status.addresses[0]?.address ?? pod?.status.podIP;
  if (address === undefined && !/^\d+\.\d+\.\d+\.\d+$/.test(end)) throw new Error(`nobody is called "${end}"`);
  return address ?? end;
}

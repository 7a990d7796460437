import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DiffReport } from "../../src/insight/policy/diff-report.ts";
import type { Explanation } from "../../src/insight/policy/explain.ts";
import type { HeldRows } from "../../src/insight/policy/held-rows.ts";
import type { Trace } from "../../src/insight/trace.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "../policy/policy-lab.fixture.ts";

/** `twill explain`, `diff` and `policy` in a lab: what they say, what the kernels hold, and what packets do, agree. */

setDefaultTimeout(300_000);

let cluster: PolicyLab;
const [web1, web2, client2] = ["node1/pod-a", "node2/pod-a", "node2/pod-b"] as const;
const [web1Name, web2Name, client2Name] = [
  "default/pod-a.node1",
  "default/pod-a.node2",
  "default/pod-b.node2",
] as const;

beforeAll(async () => {
  cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2 });
  for (const from of [web2, client2]) await cluster.becomes(from, web1, "answer");
  // Nobody follows who is who yet.
  const open = await explain("node2", `${web2Name} ${web1Name}:8080`);
  expect(open).toMatchObject({ status: 0, verdict: "allow", to: { name: web1Name, node: "node1" } });
  expect(open.held.map(({ rows }) => rows)).toEqual([undefined, undefined]);
  await cluster.policy("default", "web", {
    podSelector: { matchLabels: { role: "web" } },
    policyTypes: ["Ingress"],
    ingress: [{ from: [{ podSelector: { matchLabels: { role: "client" } } }], ports: [{ port: "http" }] }],
  });
  await cluster.becomes(web2, web1, "silence");
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

type Explained = Explanation & { readonly held: readonly HeldRows[]; readonly sent?: Trace };

async function explain(node: string, words: string): Promise<Explained & { readonly status: number | null }> {
  const { stdout, stderr, status } = await cluster.lab.attempt(node, `twill explain -o json ${words}`);
  if (stdout === "") throw new Error(stderr);
  return { ...(JSON.parse(stdout) as Explained), status };
}

test("allowed and denied: the rule, the one that came close, the kernel's rows, and a packet that proves it", async () => {
  const denied = await explain("node2", `${web2Name} ${web1Name}:8080 --send`);
  expect(denied).toMatchObject({
    status: 1,
    verdict: "deny",
    directions: [
      { direction: "egress", policies: [] },
      {
        direction: "ingress",
        policies: [{ policy: "NetworkPolicy default/web" }],
        close: [{ policy: "NetworkPolicy default/web", rule: 1, why: ["sender: its label role is web, not client"] }],
      },
    ],
    sent: { ok: false },
  });
  const row = denied.held.find(({ node }) => node === "node1")?.rows?.[0];
  expect(row).toMatchObject({ direction: "ingress", decision: { verdict: "deny" }, differences: [] });
  expect(row?.packets ?? 0).toBeGreaterThan(0);
  expect(denied.sent?.answer).toContain("node1");
  expect(denied.sent?.answer).toContain("policy denies it: inet twill deny_ingress");
  expect(denied.sent?.remedy).toContain("twill explain");
  // The rule that looks for forged sources asks for a route, which the state has: nothing is "perhaps".
  expect(denied.sent?.request.map(({ verdict }) => verdict)).not.toContain("unsure");

  const allowed = await explain("node2", `${client2Name} ${web1Name}:http --send`);
  expect(allowed).toMatchObject({ status: 0, verdict: "allow", sent: { ok: true } });
  expect(allowed.directions[1]).toMatchObject({
    by: { policy: "NetworkPolicy default/web", rule: 1, tier: "default" },
  });
  // Asked on the other node, by addresses.
  const there = await explain("node1", `${cluster.address(client2)} ${cluster.address(web1)}:8081`);
  expect(there).toMatchObject({ status: 1, from: { name: client2Name }, to: { name: web1Name, node: "node1" } });
  expect(there.directions[1]?.close[0]?.why).toEqual(["the rule is about TCP port http: http is TCP 8080 there"]);
  expect(await cluster.reach(client2, web1, 8081)).toBe("silence");
});

test("without the agents, from the datastore, the same", async () => {
  const { datastore } = cluster.lab;
  const offline = await explain("node1", `${web2Name} ${web1Name}:8080 --datastore ${datastore}`);
  expect(offline).toMatchObject({ status: 1, verdict: "deny", held: [] });
  await cluster.lab.agent("node2", "stop");
  const away = await cluster.lab.attempt("node2", `twill explain ${web2Name} ${web1Name}:8080`);
  expect([away.status, away.stderr]).toEqual([1, expect.stringContaining("or give --datastore URL")]);
  const half = await cluster.lab.attempt("node1", `twill explain ${web2Name} ${web1Name}:8080`);
  expect(half.stdout).toContain("node2: not asked: ");
  await cluster.lab.agent("node2", "start");
  await until(async () => (await cluster.lab.status("node2")).ready, "it is up again", 40_000);
  const text = await cluster.lab.attempt("node1", `twill policy show ${web1Name} --datastore ${datastore}`);
  const asked = await cluster.lab.attempt("node2", `twill policy show ${cluster.address(web1)}`);
  const uncounted = (shown: string): string => shown.replaceAll(/ {2}\[.*\]/g, "");
  expect(uncounted(asked.stdout)).toBe(uncounted(text.stdout));
  expect(text.stdout).toMatch(
    /in: the first rule that matches decides\n {2}tier default\n {4}NetworkPolicy default\/web/,
  );
  expect(text.stdout).toContain("allow  1: from pods with role=client in namespace default, TCP port http");
  expect(text.stdout).toContain("out: everything is allowed, for no policy selects it");
});

test("a diff names what the change closes, and the seen connections that it would cut", async () => {
  const file = join(cluster.lab.parent, "deny.yaml");
  writeFileSync(
    file,
    `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: default}
spec:
  podSelector: {matchLabels: {role: web}}
  policyTypes: [Ingress]
`,
  );
  const flags = `-f ${file} --datastore ${cluster.lab.datastore}`;
  let report:
    | (DiffReport & { readonly cut?: { readonly cut: number; readonly examples: readonly unknown[] } })
    | undefined;
  await until(
    async () => {
      const { stdout, status } = await cluster.lab.attempt("node1", `twill diff -o json ${flags}`);
      report = JSON.parse(stdout);
      return status === 1 && (report?.cut?.cut ?? 0) > 0;
    },
    () => `no flow is cut: ${JSON.stringify(report?.cut)}`,
    30_000,
  );
  expect(report?.changes).toMatchObject([{ effect: "closes", traffic: "TCP 8080" }]);
  expect(report?.cut?.examples[0]).toMatchObject({ source: client2Name, destination: web1Name, traffic: "TCP 8080" });
  const text = await cluster.lab.attempt("node1", `twill diff ${flags}`);
  expect(text.stdout).toMatch(/^1 thing closes, nothing opens\n/);
});

test("what is suggested from seen flows lets these pass; rules that nothing used are named", async () => {
  const { datastore } = cluster.lab;
  const suggested = await cluster.lab.on("node1", `twill policy suggest ${web1Name} --datastore ${datastore}`);
  const file = join(cluster.lab.parent, "suggested.yaml");
  writeFileSync(file, suggested);
  const { stdout } = await cluster.lab.attempt("node1", `twill diff -f ${file} --datastore ${datastore}`);
  expect(stdout).toMatch(/none of the \d+ connections seen would have been cut/);
  const unused = await cluster.lab.attempt("node2", `twill policy unused --datastore ${datastore}`);
  expect([unused.stdout, unused.status]).toEqual(["every rule was used\n", 0]);
  const lint = await cluster.lab.attempt("node1", `twill policy lint --datastore ${datastore}`);
  expect([lint.status, lint.stdout]).toEqual([0, "nothing to complain of (1 policy looked at)\n"]);
});

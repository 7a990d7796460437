import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Deployed, deploy, deployed } from "./deployed.fixture.ts";

setDefaultTimeout(60_000);

/** deploy/ against a real API server: what it takes. What it then lets the agent do is in rbac.test.ts. */
let cluster: Deployed;
beforeAll(async () => {
  cluster = await deployed();
}, 900_000);

test("the API server takes every object, strictly and without a warning, again and again", () => {
  const { stdout, stderr, exitCode } = cluster.kubectl([
    "apply",
    "--validate=strict",
    "-f",
    join(deploy, "twill.yaml"),
  ]);
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
  expect(stdout.trim().split("\n").length).toBeGreaterThan(10);
});

test("the kustomize base differs from it in nothing that the server can see", () => {
  const { stdout, stderr, exitCode } = cluster.kubectl(["diff", "-k", join(deploy, "kustomize")]);
  expect(stdout + stderr).toBe("");
  expect(exitCode).toBe(0);
});

test("applying it again leaves the key that the agents made", () => {
  const key = ["-n", "twill-system", "get", "secret", "twill-peers", "-o", "jsonpath={.data.peer-key}"];
  const set = ["-n", "twill-system", "patch", "secret", "twill-peers", "-p", '{"data":{"peer-key":"YQ=="}}'];
  expect(cluster.kubectl(set).exitCode).toBe(0);
  expect(cluster.kubectl(["apply", "-f", join(deploy, "twill.yaml")]).exitCode).toBe(0);
  expect(cluster.kubectl(key).stdout).toBe("YQ==");
});

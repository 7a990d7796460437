import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { kubernetesBinary } from "../../lab/kubernetes/binaries.ts";
import { admin } from "./control-plane.fixture.ts";

setDefaultTimeout(60_000);

/** deploy/ against a real API server: what it takes, and what it then lets the agent do. */
const deploy = join(import.meta.dir, "../../deploy");
const account = "system:serviceaccount:twill-system:twill-agent";
let kubectlPath: string;
let kubeconfig: string;
let plane: Awaited<ReturnType<typeof admin>>["plane"];

function kubectl(args: readonly string[], stdin = "") {
  const result = Bun.spawnSync([kubectlPath, "--kubeconfig", kubeconfig, ...args], {
    stdin: new TextEncoder().encode(stdin),
    timeout: 50_000,
  });
  return { stdout: result.stdout.toString(), stderr: result.stderr.toString(), exitCode: result.exitCode };
}

function must(args: readonly string[], stdin = ""): string {
  const { stdout, stderr, exitCode } = kubectl(args, stdin);
  if (exitCode !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** As the agent of a node: a token bound to a pod carries the node's name (KEP-4193). */
const asAgent = (node: string | undefined, ...args: string[]) =>
  kubectl([
    `--as=${account}`,
    "--as-group=system:serviceaccounts",
    "--as-group=system:authenticated",
    ...(node === undefined ? [] : [`--as-user-extra=authentication.kubernetes.io/node-name=${node}`]),
    ...args,
  ]);

/** kubectl reads a subresource before it patches it, which the agent may not and need not. */
async function patch(node: string, path: string, change: unknown): Promise<{ status: number; text: string }> {
  const { server, authority, admin: user } = plane;
  const response = await fetch(`${server}/api/v1/${path}`, {
    method: "PATCH",
    body: JSON.stringify(change),
    headers: {
      "content-type": "application/merge-patch+json",
      "impersonate-user": account,
      "impersonate-extra-authentication.kubernetes.io%2fnode-name": node,
    },
    tls: {
      ca: readFileSync(authority.certificate, "utf8"),
      cert: readFileSync(user.certificate, "utf8"),
      key: readFileSync(user.key, "utf8"),
    },
  });
  return { status: response.status, text: await response.text() };
}

const pod = (name: string, node: string): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "twill-system" },
    spec: { nodeName: node, hostNetwork: true, containers: [{ name: "app", image: "app" }] },
  });

beforeAll(async () => {
  kubectlPath = await kubernetesBinary("kubectl", (line) => process.stderr.write(`twill: ${line}\n`));
  ({ kubeconfig, plane } = await admin());
}, 900_000);

afterAll(() => {
  kubectl(["delete", "--ignore-not-found", "--wait=false", "-f", join(deploy, "twill.yaml")]);
  kubectl(["delete", "--ignore-not-found", "node", "deploy-a", "deploy-b"]);
});

test("the API server takes every object, strictly and without a warning", () => {
  const { stderr, exitCode } = kubectl(["apply", "--validate=strict", "-f", join(deploy, "twill.yaml")]);
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
});

test("the kustomize base differs from it in nothing that the server can see", () => {
  const { stdout, stderr, exitCode } = kubectl(["diff", "-k", join(deploy, "kustomize")]);
  expect(stdout + stderr).toBe("");
  expect(exitCode).toBe(0);
});

test("the agent writes its own node and the pods on it, and no other", async () => {
  for (const name of ["deploy-a", "deploy-b"])
    must(["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name } }));
  // Without a controller manager nobody makes the default account that pods would wait for.
  kubectl(["-n", "twill-system", "create", "serviceaccount", "default"]);
  must(["create", "-f", "-"], pod("on-a", "deploy-a"));
  must(["create", "-f", "-"], pod("on-b", "deploy-b"));

  const annotate = (as: string | undefined, node: string) =>
    asAgent(as, "annotate", "--overwrite", "node", node, `twill.dev/test=${Math.random()}`);
  // The policy comes into force a moment after it was created.
  const deadline = performance.now() + 20_000;
  while (annotate("deploy-a", "deploy-b").exitCode === 0 && performance.now() < deadline) await Bun.sleep(200);

  const denied = "twill-agent may write only its own node and the pods on it";
  expect(annotate("deploy-a", "deploy-b").stderr).toContain(denied);
  expect(annotate(undefined, "deploy-a").stderr).toContain(denied);
  expect(annotate("deploy-a", "deploy-a")).toMatchObject({ stderr: "", exitCode: 0 });

  const condition = { status: { conditions: [{ type: "NetworkUnavailable", status: "False" }] } };
  expect(await patch("deploy-a", "nodes/deploy-a/status", condition)).toMatchObject({ status: 200 });
  expect((await patch("deploy-a", "nodes/deploy-b/status", condition)).text).toContain(denied);

  const address = { metadata: { annotations: { "cni.projectcalico.org/podIPs": "10.244.1.2/32" } } };
  const published = await patch("deploy-a", "namespaces/twill-system/pods/on-a/status", address);
  expect(published.status).toBe(200);
  expect(published.text).toContain("10.244.1.2/32");
  expect((await patch("deploy-a", "namespaces/twill-system/pods/on-b/status", address)).text).toContain(denied);
});

test("RBAC gives the agent what is written, and nothing beside it", () => {
  const may = (...args: string[]): boolean => asAgent("deploy-a", "auth", "can-i", ...args).stdout.trim() === "yes";
  for (const verb of ["get", "list", "watch", "patch"]) expect(may(verb, "nodes"), verb).toBe(true);
  expect(may("patch", "nodes", "--subresource=status")).toBe(true);
  expect(may("patch", "pods", "--subresource=status", "--all-namespaces")).toBe(true);
  expect(may("create", "events", "-n", "default")).toBe(true);
  expect(may("update", "configmaps", "-n", "twill-system")).toBe(true);
  for (const [verb, resource] of [
    ["create", "pods"],
    ["patch", "pods"],
    ["get", "secrets"],
    ["list", "configmaps"],
    ["delete", "nodes"],
    ["create", "nodes"],
    ["create", "serviceaccounts/token"],
    ["patch", "clusterroles"],
  ])
    expect(may(verb ?? "", resource ?? "", "--all-namespaces"), `${verb} ${resource}`).toBe(false);
});

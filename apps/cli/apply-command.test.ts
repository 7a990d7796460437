import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "../../src/base/errors.ts";
import { openDatastore } from "../../src/store/open.ts";
import { applyCommand } from "./apply-command.ts";
import { type Command, runCommand } from "./command.ts";
import { deleteCommand } from "./delete-command.ts";
import { get } from "./get-command.ts";

let directory = "";
let url = "";
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "twill-apply-"));
  url = `embedded:${directory}/cluster.db`;
  await (await openDatastore(url)).close();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Standard output, or the error; with standard error behind it. */
async function twill(command: Command, ...argv: string[]): Promise<string> {
  const said: string[] = [];
  const output = {
    out: (text: string) => void said.push(text),
    error: (text: string) => void said.push(text),
    columns: undefined,
    colour: false,
  };
  try {
    const status = await runCommand(command, [...argv, "--datastore", url], output);
    if (status !== 0) said.push(`status ${status}`);
  } catch (error) {
    said.push(describeError(error));
  }
  return said.join("").replaceAll(`${directory}/`, "");
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const policy = (name: string, spec = "podSelector: {}", namespace = "shop") => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
`;
const guard = `apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {matchLabels: {team: a}}}
  egress:
  - {action: Deny, to: [{networks: [169.254.169.254/32]}]}
`;
const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";

test("apply, get and delete", async () => {
  const shop = file("shop.yaml", `${policy("web")}---\n${guard}---\n${namespace}`);
  expect(await twill(applyCommand, "-f", shop)).toBe(
    "Namespace shop created\nNetworkPolicy shop/web created\nClusterNetworkPolicy guard created\n",
  );
  expect(await twill(applyCommand, "-f", shop)).toBe(
    "Namespace shop unchanged\nNetworkPolicy shop/web unchanged\nClusterNetworkPolicy guard unchanged\n",
  );
  file("shop.yaml", policy("web", "podSelector: {}, egress: [{}]"));
  expect(await twill(applyCommand, "-f", shop)).toBe("NetworkPolicy shop/web configured\n");
  expect(await twill(get, "policies", "-o", "wide")).toBe(
    `NAMESPACE  NAME   TIER        ORDER  PODS                    RULES                STATE  WRITTEN AT
shop       web    default     1000   *                       0 ingress, 1 egress  ok     shop.yaml:1
-          guard  kube-admin  5      * in namespaces team=a  1 egress             ok     shop.yaml:6
`,
  );
  expect(await twill(get, "networkpolicies", "-n", "other")).toBe("no networkpolicies\n");
  expect(await twill(get, "ns")).toBe("NAME  LABELS\nshop  team=a,kubernetes.io/metadata.name=shop\n");
  expect(await twill(get, "netpol", "web", "-o", "json")).toContain('"podSelector": {}');
  expect(await twill(get, "netpol", "nobody")).toContain("there is no nobody among the netpol");
  expect(await twill(deleteCommand, "networkpolicy", "web")).toContain("there is no NetworkPolicy default/web");
  expect(await twill(deleteCommand, "networkpolicy", "web", "-n", "shop")).toBe("NetworkPolicy shop/web deleted\n");
  file("shop.yaml", `${policy("web")}---\n${guard}---\n${namespace}`);
  expect(await twill(deleteCommand, "-f", shop, "--ignore-not-found")).toBe(
    "ClusterNetworkPolicy guard deleted\nNamespace shop deleted\n",
  );
});

test("what was listed can be applied again", async () => {
  await twill(applyCommand, "-f", file("a.yaml", `${policy("web")}---\n${policy("db")}`));
  const listed = file("listed.yaml", await twill(get, "policies", "-o", "yaml"));
  await twill(deleteCommand, "-f", listed);
  expect(await twill(get, "policies")).toBe("no policies\n");
  expect(await twill(applyCommand, "-f", listed)).toBe(
    "NetworkPolicy shop/db created\nNetworkPolicy shop/web created\n",
  );
});

test("one mistake in any file, and nothing is written", async () => {
  file("all/a.yaml", policy("web"));
  file("all/b.yml", policy("db", "podSelector: {}, policyTypes: [ingress]"));
  file("all/notes.txt", "not for us");
  file("all/deep/c.yaml", policy("deep"));
  expect(await twill(applyCommand, "-f", join(directory, "all"))).toContain(
    'read all/b.yml line 4, column 39: spec.policyTypes[0]: the text "ingress" is not known (did you mean Ingress?)',
  );
  expect(await twill(get, "policies")).toBe("no policies\n");
  file("all/b.yml", policy("db"));
  expect(await twill(applyCommand, "-f", join(directory, "all"), "--dry-run")).toContain(
    "is right (nothing was written)",
  );
  expect(await twill(get, "policies")).toBe("no policies\n");
  expect(await twill(applyCommand, "-f", join(directory, "all"))).not.toContain("deep");
  expect(await twill(applyCommand, "-R", "-f", join(directory, "all"))).toContain("NetworkPolicy shop/deep created");
});

test("what could not be stored is found before the first is", async () => {
  const long = "x".repeat(250);
  const both = file("a.yaml", `${policy("web")}---\n${policy(long)}`);
  expect(await twill(applyCommand, "-f", both)).toContain("cannot name an object");
  expect(await twill(get, "policies")).toBe("no policies\n");
});

test("what is most likely not meant is said, and done", async () => {
  const said = await twill(applyCommand, "-f", file("a.yaml", policy("web", "podSelector: {}, egress: []")));
  expect(said).toContain("warning: a.yaml line 4: spec.egress: an empty list of egress rules");
  expect(said).toContain("NetworkPolicy shop/web created");
});

test("labels of a pod: what others have written of it stays", async () => {
  const store = await openDatastore(url);
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: "default", uid: "u", labels: { lab: "1", app: "old" } },
    spec: { nodeName: "n1", containers: [] },
    status: { phase: "Running", podIPs: [{ ip: "10.0.0.1" }] },
  };
  await store.create("pods", "default.a", new TextEncoder().encode(JSON.stringify(pod)));
  await store.close();
  const labels = file("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web}}\n");
  expect(await twill(applyCommand, "-f", labels)).toBe("Pod default/a configured\n");
  expect(await twill(applyCommand, "-f", labels)).toBe("Pod default/a unchanged\n");
  expect(await twill(get, "pods")).toBe(
    "NAMESPACE  NAME  NODE  ADDRESSES  LABELS\ndefault    a     n1    10.0.0.1   app=web,lab=1\n",
  );
});

test("a policy that somebody stored broken is listed with its error", async () => {
  const store = await openDatastore(url);
  await store.create(
    "networkpolicies",
    "shop.web",
    new TextEncoder().encode('{"metadata":{"name":"web","namespace":"shop"},"spec":[]}'),
  );
  await store.close();
  expect(await twill(get, "policies")).toContain("invalid: spec: a list is not an object");
});

describe("wrong command lines", () => {
  for (const [command, argv, expected] of [
    [applyCommand, [], "which file?"],
    [applyCommand, ["-f", "/nowhere/x.yaml"], "/nowhere/x.yaml: ENOENT"],
    [deleteCommand, [], "what should be deleted?"],
    [deleteCommand, ["networkpolicy"], "which networkpolicy?"],
    [deleteCommand, ["networkpolcy", "a"], "did you mean networkpolicy?"],
    [deleteCommand, ["node", "n9"], "there is no node n9"],
    [get, [], "what should be listed?"],
    [get, ["polices"], 'did you mean "policies"?'],
  ] as const) {
    test(`${command.name} ${argv.join(" ")}`, async () => expect(await twill(command, ...argv)).toContain(expected));
  }
});

test("a cluster that is not there is not made: nothing written there would reach an agent", async () => {
  url = `embedded:${directory}/nobody.db`;
  const policies = file("p.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n");
  expect(await twill(applyCommand, "-f", policies)).toContain("no agent of this machine keeps its cluster there");
  expect(await twill(get, "policies")).toContain("no agent of this machine keeps its cluster there");
  expect(existsSync(`${directory}/nobody.db`)).toBe(false);
});

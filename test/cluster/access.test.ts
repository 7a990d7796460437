import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateAuthority } from "../../lab/kubernetes/certificates.ts";
import { systemClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { KubernetesClient } from "../../src/store/kubernetes/client.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import { inClusterAccess } from "../../src/store/kubernetes/in-cluster.ts";
import { openDatastore } from "../../src/store/open.ts";
import {
  admin,
  type Manifest,
  namespace,
  ROLE_BINDINGS,
  ROLES,
  SECRETS,
  SERVICE_ACCOUNTS,
} from "./control-plane.fixture.ts";

setDefaultTimeout(60_000);

let cluster: Awaited<ReturnType<typeof admin>>;
/** Where the role "twill" lets the group twill:agents and the service account "agent" do what the datastore needs. */
let home: string;
let files: string;

beforeAll(async () => {
  cluster = await admin();
  home = await namespace(cluster.api);
  files = join(cluster.plane.directory, "access");
  mkdirSync(files);
  const create = (resource: typeof ROLES, object: Manifest) =>
    cluster.api.create<Manifest>(resource, { namespace: home, name: object.metadata.name }, object);
  const group = "rbac.authorization.k8s.io";
  await create(SERVICE_ACCOUNTS, { metadata: { name: "agent" } });
  await create(ROLES, {
    metadata: { name: "twill" },
    rules: [
      {
        apiGroups: [""],
        resources: ["configmaps"],
        verbs: ["get", "list", "watch", "create", "update", "delete"],
      },
    ],
  });
  await create(ROLE_BINDINGS, {
    metadata: { name: "twill" },
    roleRef: { apiGroup: group, kind: "Role", name: "twill" },
    subjects: [
      { kind: "ServiceAccount", name: "agent", namespace: home },
      { apiGroup: group, kind: "Group", name: "twill:agents" },
    ],
  });
});

const open = (kubeconfig: string, where = home) => openDatastore(`kubernetes:${kubeconfig}?namespace=${where}`);
const bytes = (text: string) => new TextEncoder().encode(text);
const failure = async (promise: Promise<unknown>): Promise<TwillError> => {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof TwillError)) throw new Error(`a TwillError was expected, not ${thrown}`);
  return thrown;
};

/** A token of the service account that is good for as long as a Secret of that name exists. */
async function boundToken(secret: string): Promise<string> {
  await cluster.api.create<Manifest>(SECRETS, { namespace: home, name: secret }, { metadata: { name: secret } });
  const answer = await fetchAsAdmin(`/api/v1/namespaces/${home}/serviceaccounts/agent/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { boundObjectRef: { apiVersion: "v1", kind: "Secret", name: secret }, expirationSeconds: 3600 },
  });
  return (answer as { status: { token: string } }).status.token;
}

async function fetchAsAdmin(path: string, body: unknown): Promise<unknown> {
  const { authority, admin: own, server } = cluster.plane;
  const read = (file: string) => readFileSync(file, "utf8");
  const answer = await fetch(`${server}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    tls: { ca: read(authority.certificate), cert: read(own.certificate), key: read(own.key) },
  });
  return await answer.json();
}

/** Requests that the API server refused with 429, by its own count. */
async function rejections(): Promise<number> {
  const { authority, admin: own, server } = cluster.plane;
  const read = (file: string) => readFileSync(file, "utf8");
  const tls = { ca: read(authority.certificate), cert: read(own.certificate), key: read(own.key) };
  const metrics = await (await fetch(`${server}/metrics`, { tls })).text();
  const lines = metrics.match(/^apiserver_flowcontrol_rejected_requests_total\{flow_schema="closed".*$/gm) ?? [];
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const revoke = (secret: string) => cluster.api.delete(SECRETS, { namespace: home, name: secret });

/** Refusal of a token comes late: the API server remembers a good one for some seconds. */
async function untilRefused(work: () => Promise<unknown>): Promise<TwillError> {
  for (const end = performance.now() + 40_000; performance.now() < end; await Bun.sleep(250)) {
    try {
      await work();
    } catch (error) {
      if (error instanceof TwillError) return error;
      throw error;
    }
  }
  throw new Error("the token is still good");
}

test("a client certificate, by file and inline", async () => {
  const pair = cluster.plane.authority.issue("agent", "/O=twill:agents/CN=agent");
  const base64 = (path: string) => readFileSync(path).toString("base64");
  const inline = { "client-certificate-data": base64(pair.certificate), "client-key-data": base64(pair.key) };
  const ca = { "certificate-authority-data": base64(cluster.plane.authority.certificate) };
  for (const kubeconfig of [
    cluster.plane.certificateKubeconfig("by-file", pair),
    cluster.plane.kubeconfig("inline", inline, { ...ca, "certificate-authority": undefined }),
  ]) {
    const store = await open(kubeconfig);
    const { revision } = await store.create("nodes", "a", bytes("x"));
    await store.delete("nodes", "a", revision);
    await store.close();
  }
});

test("a token that rotates: the new one is used as soon as its file has it", async () => {
  const path = join(files, "token");
  writeFileSync(path, await boundToken("first"));
  const store = await open(cluster.plane.kubeconfig("token-file", { tokenFile: path }));
  await store.list("nodes");
  const second = await boundToken("second");
  await revoke("first");
  const refused = await untilRefused(() => store.list("nodes"));
  expect([refused.code, refused.message]).toEqual(["denied", "the API server does not accept our credentials"]);
  expect(refused.describe()).toContain("token-file.kubeconfig");
  // As the kubelet does: written beside, renamed.
  writeFileSync(`${path}.new`, second);
  renameSync(`${path}.new`, path);
  expect((await store.list("nodes")).objects).toEqual([]);
  await store.close();
});

test("a pod's service account, with the API server's own address instead of the Service's", async () => {
  const directory = join(files, "serviceaccount");
  mkdirSync(directory);
  writeFileSync(join(directory, "token"), await boundToken("in-cluster"));
  writeFileSync(join(directory, "namespace"), home);
  copyFileSync(cluster.plane.authority.certificate, join(directory, "ca.crt"));
  const env = { KUBERNETES_SERVICE_HOST: "192.0.2.1", KUBERNETES_SERVICE_PORT: "443" };
  const access = inClusterAccess(cluster.plane.server, env, directory);
  const store = new KubernetesDatastore(access, { namespace: home });
  expect((await store.list("nodes")).objects).toEqual([]);
  await store.close();
});

test("an exec plugin: asked once while its credential lasts, again when that is over or refused", async () => {
  const [plugin, runs, credential] = ["plugin", "runs", "credential.json"].map((name) => join(files, name));
  if (plugin === undefined || runs === undefined || credential === undefined) throw new Error("three paths");
  writeFileSync(plugin, `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >>${runs}\ncat ${credential}\n`);
  chmodSync(plugin, 0o755);
  const answer = (status: unknown) =>
    writeFileSync(
      credential,
      JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status }),
    );
  const count = () => readFileSync(runs, "utf8").trim().split("\n").length;
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "./access/plugin", interactiveMode: "Never" };
  const store = await open(cluster.plane.kubeconfig("exec", { exec }));

  answer({ token: await boundToken("exec-1"), expirationTimestamp: new Date(Date.now() + 3600_000).toISOString() });
  await Promise.all(Array.from({ length: 10 }, () => store.list("nodes")));
  await store.list("nodes");
  expect(count()).toBe(1);
  expect(readFileSync(runs, "utf8")).toContain('"kind":"ExecCredential"');

  // Refused before it is over: asked again, and the request is made again with what it answers.
  answer({ token: await boundToken("exec-2"), expirationTimestamp: new Date(Date.now() - 1000).toISOString() });
  await revoke("exec-1");
  for (const end = performance.now() + 40_000; count() === 1 && performance.now() < end; await Bun.sleep(250)) {
    await store.list("nodes");
  }
  expect(count()).toBe(2);

  // Over already: asked each time.
  await store.list("nodes");
  expect(count()).toBe(3);

  // A client certificate from the plugin.
  const pair = cluster.plane.authority.issue("exec", "/O=twill:agents/CN=exec");
  const [clientCertificateData, clientKeyData] = [pair.certificate, pair.key].map((path) => readFileSync(path, "utf8"));
  answer({ clientCertificateData, clientKeyData });
  await store.list("nodes");
  await store.list("nodes");
  expect(count()).toBe(4);
  await store.close();
});

test("what RBAC denies names who, what and where, and the rule that is missing", async () => {
  const pair = cluster.plane.authority.issue("nobody", "/CN=nobody");
  const store = await open(cluster.plane.certificateKubeconfig("nobody", pair));
  const { revision } = { revision: "1" as Awaited<ReturnType<typeof store.list>>["revision"] };
  const denied = {
    list: await failure(store.list("nodes")),
    create: await failure(store.create("nodes", "a", bytes("x"))),
    watch: await failure(store.watch("nodes", revision)[Symbol.asyncIterator]().next()),
  };
  for (const [verb, error] of Object.entries(denied)) {
    expect([verb, error.code]).toEqual([verb, "denied"]);
    expect(error.message).toContain('User "nobody" cannot');
    expect(error.remedy).toStartWith(`grant nobody "${verb}" on configmaps in a Role of the namespace ${home}`);
  }
  await store.close();
});

test("a namespace that does not exist is named", async () => {
  const store = await open(cluster.kubeconfig, "no-such-namespace");
  expect((await store.list("nodes")).objects).toEqual([]);
  const error = await failure(store.create("nodes", "a", bytes("x")));
  expect([error.code, error.remedy]).toEqual(["unavailable", "kubectl create namespace no-such-namespace"]);
  await store.close();
});

test("without credentials, or with a token that is none", async () => {
  const nobody = await open(cluster.plane.kubeconfig("anonymous", {}));
  expect((await failure(nobody.list("nodes"))).message).toContain('User "system:anonymous" cannot');
  await nobody.close();
  const wrong = await open(cluster.plane.kubeconfig("wrong-token", { token: "made-up" }));
  expect((await failure(wrong.list("nodes"))).code).toBe("denied");
  await wrong.close();
});

test("a certificate authority that did not sign the server's certificate, and one for another name", async () => {
  const stranger = new CertificateAuthority(files, "stranger");
  const user = { "client-certificate": cluster.plane.admin.certificate, "client-key": cluster.plane.admin.key };
  const untrusted = await open(
    cluster.plane.kubeconfig("stranger", user, { "certificate-authority": stranger.certificate }),
  );
  const error = await failure(untrusted.list("nodes"));
  expect(error.code).toBe("denied");
  expect(error.message).toContain("is not signed by the certificate authority we were given");
  await untrusted.close();

  const server = cluster.plane.server.replace("127.0.0.1", "127.0.0.2");
  const other = await open(cluster.plane.kubeconfig("other-name", user, { server }));
  // Nothing listens there: the server is on 127.0.0.1 alone.
  expect((await failure(other.list("nodes"))).code).toBe("unavailable");
  await other.close();

  const named = await open(cluster.plane.kubeconfig("named", user, { "tls-server-name": "kubernetes.default.svc" }));
  await named.list("nodes");
  await named.close();
  const misnamed = await open(cluster.plane.kubeconfig("misnamed", user, { "tls-server-name": "other.example" }));
  expect((await failure(misnamed.list("nodes"))).message).toContain("is for another name or address");
  await misnamed.close();
});

test("a list by pages and a list by stream are the same", async () => {
  const where = await namespace(cluster.api);
  const store = await open(cluster.kubeconfig, where);
  await Promise.all(Array.from({ length: 1203 }, (_, index) => store.create("blobs", `b${index}`, bytes(`${index}`))));
  const streamed = await store.list("blobs");
  // A proxy that knows no watches makes the client fall back.
  const proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const url = new URL(request.url);
      if (url.searchParams.has("sendInitialEvents")) return new Response("no", { status: 405 });
      const { authority, admin: own, server } = cluster.plane;
      const read = (file: string) => readFileSync(file, "utf8");
      const answer = await fetch(`${server}${url.pathname}${url.search}`, {
        tls: { ca: read(authority.certificate), cert: read(own.certificate), key: read(own.key) },
      });
      return new Response(await answer.text(), { status: answer.status });
    },
  });
  const access = { ...cluster.api.access, server: `http://127.0.0.1:${proxy.port}` };
  const paged = new KubernetesDatastore(access, { namespace: where });
  const listed = await paged.list("blobs");
  expect(listed.objects.length).toBe(1203);
  expect(listed.objects).toEqual(streamed.objects);
  await Promise.all([store.close(), paged.close()]);
  proxy.stop(true);
});

test("what an API server refuses for now (429) is asked again when it says, and answered", async () => {
  const pair = cluster.plane.authority.issue("flooded", "/O=twill:agents/CN=flooded");
  const flow = (plural: string, kind: string) => ({
    group: "flowcontrol.apiserver.k8s.io",
    version: "v1",
    plural,
    kind,
  });
  const levels = flow("prioritylevelconfigurations", "PriorityLevelConfiguration");
  const schemas = flow("flowschemas", "FlowSchema");
  const api = new KubernetesClient(cluster.api.access, { clock: systemClock, random: systemRandom });
  await api.create<Manifest>(
    levels,
    { name: "closed" },
    {
      apiVersion: "flowcontrol.apiserver.k8s.io/v1",
      kind: "PriorityLevelConfiguration",
      metadata: { name: "closed" },
      spec: {
        type: "Limited",
        limited: { nominalConcurrencyShares: 0, borrowingLimitPercent: 0, limitResponse: { type: "Reject" } },
      },
    },
  );
  const schema = {
    apiVersion: "flowcontrol.apiserver.k8s.io/v1",
    kind: "FlowSchema",
    metadata: { name: "closed" },
    spec: {
      priorityLevelConfiguration: { name: "closed" },
      matchingPrecedence: 2, // 1 is the exempt schema's alone
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "flooded" } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] }],
        },
      ],
    },
  };
  await api.create<Manifest>(schemas, { name: "closed" }, schema);
  const kubeconfig = cluster.plane.certificateKubeconfig("flooded", pair);
  const stores = await Promise.all([open(kubeconfig), open(kubeconfig)]);
  // It lets one request at a time through, and takes some seconds to begin with that. The others come again after the
  // second or more that it asks for, or are told when that would be too long to wait.
  const overloaded = { code: "unavailable", message: "the API server is overloaded and asks us to wait" };
  let asked = 0;
  for (const end = performance.now() + 40_000; (await rejections()) === 0; asked += 32) {
    if (performance.now() > end) throw new Error("nothing was refused");
    const reads = stores.flatMap((store) => Array.from({ length: 16 }, (_, index) => store.get("nodes", `n${index}`)));
    for (const outcome of await Promise.allSettled(reads)) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject(overloaded);
      else expect(outcome.value).toBeUndefined();
    }
  }
  expect(asked).toBeGreaterThan(0);
  for (const store of stores) {
    expect(await store.get("nodes", "a").catch((error: unknown) => error)).toBeUndefined();
    await store.close();
  }
  await api.delete(schemas, { name: "closed" });
  await api.delete(levels, { name: "closed" });
});

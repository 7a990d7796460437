import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FakeClock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import { inClusterAccess } from "./in-cluster.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { clusterAccess, parseKubernetesUrl } from "./url.ts";

const directory = mkdtempSync("/tmp/twill-kubeconfig-");
afterAll(() => rmSync(directory, { recursive: true }));

const clock = new FakeClock();

function write(user: object, cluster: object = {}, rest: object = {}): string {
  const path = join(directory, `${Bun.hash(JSON.stringify([user, cluster, rest]))}.kubeconfig`);
  const config = {
    clusters: [{ name: "c", cluster: { server: "https://10.0.0.1:6443/", ...cluster } }],
    users: [{ name: "u", user }],
    contexts: [
      { name: "x", context: { cluster: "c", user: "u", namespace: "kube-flannel" } },
      { name: "y", context: { cluster: "c" } },
      { name: "z", context: { cluster: "missing" } },
    ],
    "current-context": "x",
    ...rest,
  };
  writeFileSync(path, Bun.YAML.stringify(config, null, 2));
  return path;
}

function failure(work: () => unknown): TwillError {
  try {
    work();
  } catch (error) {
    if (error instanceof TwillError) return error;
  }
  throw new Error("a TwillError was expected");
}

test("server, authority, namespace and the ways to prove who we are", async () => {
  writeFileSync(join(directory, "token"), "from-file\n");
  writeFileSync(join(directory, "ca.crt"), "CA\n");
  const inline = btoa("PEM");
  const access = readKubeconfig(
    write(
      { token: "given", tokenFile: "token", "client-certificate-data": inline, "client-key-data": inline },
      { "certificate-authority": "ca.crt", "tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128" },
    ),
    clock,
  );
  expect(access).toMatchObject({
    server: "https://10.0.0.1:6443",
    tlsServerName: "kubernetes",
    proxy: "http://proxy:3128",
    namespace: "kube-flannel",
    insecure: false,
  });
  expect(access.authority?.read()).toBe("CA");
  expect(await access.credentials.proof()).toEqual({ token: "from-file", certificate: "PEM", key: "PEM" });
});

test("a token file is read each time; a moment in which it is empty or gone does not count", async () => {
  const token = join(directory, "rotating");
  writeFileSync(token, "one");
  const { credentials } = readKubeconfig(write({ tokenFile: token }), clock);
  const first = await credentials.proof();
  expect(first).toEqual({ token: "one" });
  writeFileSync(token, "");
  expect(await credentials.proof()).toEqual({ token: "one" });
  rmSync(token);
  expect(await credentials.proof()).toEqual({ token: "one" });
  expect(credentials.refused(first)).toBe(false);
  writeFileSync(token, "two");
  expect(credentials.refused(first)).toBe(true);
  expect(await credentials.proof()).toEqual({ token: "two" });
});

test("another context than the current one, and nobody", async () => {
  const path = write({ token: "t" });
  const access = readKubeconfig(path, clock, "y");
  expect(await access.credentials.proof()).toEqual({});
  expect(access.namespace).toBeUndefined();
});

test("what is wrong is named, with the file", () => {
  const wrong: readonly (readonly [string, string, string])[] = [
    [write({}, {}, { "current-context": "" }), "invalid", "has no current-context"],
    [write({}, {}, { "current-context": "q" }), "invalid", 'has no context "q"'],
    [write({}, {}, { "current-context": "z" }), "invalid", 'has no cluster "missing"'],
    [write({}, { server: "10.0.0.1" }), "invalid", '"10.0.0.1" is not the address of an API server'],
    [write({}, { server: 7 }), "invalid", 'has a "server" that is not a text'],
    [write({}, {}, { clusters: "c" }), "invalid", 'has "clusters" that is not a list'],
    [write({ "client-certificate": "x" }), "invalid", "has only one of client-certificate and client-key"],
    [write({ username: "u", password: "p" }), "unsupported", '"username" is no way to authenticate that Twill knows'],
    [write({ token: "t", as: "root" }), "unsupported", '"as" is no way to authenticate that Twill knows'],
    [write({ exec: { apiVersion: "v1", command: "x" } }), "invalid", 'has an exec of apiVersion "v1"'],
    [
      write({
        exec: { apiVersion: "client.authentication.k8s.io/v1", command: "x", interactiveMode: "Always" },
      }),
      "invalid",
      "has an exec command that must talk to a person (x)",
    ],
  ];
  for (const [path, code, message] of wrong) {
    const error = failure(() => readKubeconfig(path, clock));
    expect([error.code as string, error.message]).toEqual([code, message]);
    expect(error.describe()).toContain(path);
  }
  writeFileSync(join(directory, "broken"), "a: [");
  expect(failure(() => readKubeconfig(join(directory, "broken"), clock)).code).toBe("invalid");
  writeFileSync(join(directory, "list"), "- a");
  expect(failure(() => readKubeconfig(join(directory, "list"), clock)).code).toBe("invalid");
  expect(failure(() => readKubeconfig(join(directory, "none"), clock)).code).toBe("unavailable");
});

test("exec plugins that fail say how", async () => {
  const run = async (command: string, ...args: string[]) => {
    const exec = { apiVersion: "client.authentication.k8s.io/v1", command, args, installHint: "install it" };
    return await readKubeconfig(write({ exec }), clock)
      .credentials.proof()
      .catch((error: unknown) => (error instanceof TwillError ? `${error.message} (${error.remedy})` : error));
  };
  expect(await run("/no/such/plugin")).toStartWith("the credential plugin cannot be run");
  expect(await run("sh", "-c", "echo no login >&2; exit 3")).toBe(
    "the credential plugin failed with status 3: no login (install it)",
  );
  expect(await run("echo", "hello")).toBe("the credential plugin printed something that is not JSON (install it)");
  expect(await run("echo", "{}")).toBe("the credential plugin printed no ExecCredential with a status (install it)");
  expect(await run("echo", '{"kind":"ExecCredential","status":{"clientKeyData":"x"}}')).toContain("half of a client");
  expect(await run("echo", '{"kind":"ExecCredential","status":{"token":"t"}}')).toEqual({ token: "t" });
});

test("a pod's service account, and what stands in for its Service's address", async () => {
  const where = mkdtempSync(join(directory, "account-"));
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };
  expect(failure(() => inClusterAccess(undefined, env, where)).code).toBe("unavailable");
  for (const name of ["token", "ca.crt", "namespace"]) writeFileSync(join(where, name), name);
  expect(inClusterAccess(undefined, env, where)).toMatchObject({
    server: "https://[fd00::1]:6443",
    namespace: "namespace",
  });
  expect(inClusterAccess("https://10.0.0.1:6443", env, where).server).toBe("https://10.0.0.1:6443");
  expect(failure(() => inClusterAccess(undefined, {}, where)).code).toBe("unavailable");
});

test("URLs", () => {
  expect(parseKubernetesUrl("")).toEqual({});
  expect(
    parseKubernetesUrl("/etc/k?context=a%20b&namespace=n&server=https://10.0.0.1&config=kube-flannel/cfg"),
  ).toEqual({
    config: { namespace: "kube-flannel", name: "cfg" },
    kubeconfig: "/etc/k",
    context: "a b",
    namespace: "n",
    server: "https://10.0.0.1",
  });
  for (const rest of [
    "k",
    "/k/",
    "/k?x=1",
    "?context=a",
    "?namespace=A",
    "?server=10.0.0.1",
    "?server=ftp://x",
    "?config=a",
  ]) {
    expect([rest, failure(() => parseKubernetesUrl(rest)).code]).toEqual([rest, "invalid"]);
  }
  const access = clusterAccess({ kubeconfig: write({}), server: "https://10.9.9.9:6443" }, clock);
  expect(access.server).toBe("https://10.9.9.9:6443");
});

import { expect } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { previousVersion } from "../../scripts/cluster/previous.ts";
import { isReady, type Manifest, type TestCluster, until } from "./cluster.fixture.ts";
import { life, whileTalking } from "./life.fixture.ts";
import { expectAllReached } from "./reach.fixture.ts";
import { deployment, pod, podSpec, spreadOverNodes, webContainer } from "./workloads.fixture.ts";

const web = (name: string): Manifest => deployment(name, 3, podSpec(webContainer(), spreadOverNodes(name)));

/** Makes new pods on all nodes, which everybody reaches. */
async function expectNewPodsReached(cluster: TestCluster, name: string): Promise<void> {
  await cluster.apply(web(name));
  await cluster.kubectl("rollout", "status", `deployment/${name}`, "--timeout=200s");
  await expectAllReached(cluster, await cluster.pods("-l", `app=${name}`));
  await cluster.remove(web(name));
}

/** Since when each node is Ready: what does not change was never NotReady in between. */
async function readySince(cluster: TestCluster): Promise<unknown> {
  const condition = '{.status.conditions[?(@.type=="Ready")]}';
  return await cluster
    .kubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} ${condition}{"\\n"}{end}`)
    .then((text) => text.replaceAll(/"lastHeartbeatTime":"[^"]*",/g, ""));
}

const kinds = (manifest: string): Manifest[] => [Bun.YAML.parse(readFileSync(manifest, "utf8"))].flat() as Manifest[];

/** All of a manifest but what an administrator filled in. */
const withoutSettings = (manifest: string): Manifest[] =>
  kinds(manifest).filter(({ kind }) => kind !== "ConfigMap" && kind !== "Secret");

/** Pods are replaced only when somebody deletes them, so that versions can be held side by side. */
const onDelete = (manifests: readonly Manifest[]): Manifest[] =>
  manifests.map((manifest) =>
    manifest.kind === "DaemonSet"
      ? { ...manifest, spec: { ...(manifest.spec as object), updateStrategy: { type: "OnDelete" } } }
      : manifest,
  );

const agentPods = (cluster: TestCluster) => cluster.pods("-n", "twill-system");
const versions = async (cluster: TestCluster): Promise<(string | undefined)[]> =>
  (await agentPods(cluster))
    .toSorted((a, b) => String(a.spec.nodeName).localeCompare(String(b.spec.nodeName)))
    .map(({ spec }) => spec.containers[0]?.image);
const rolledOut = (cluster: TestCluster) =>
  cluster.kubectl("-n", "twill-system", "rollout", "status", "daemonset/twill-agent", "--timeout=300s");

life("the DaemonSet goes back to the version before and forward again, and both work side by side", async (cluster) => {
  const previous = previousVersion((line) => process.stderr.write(`cluster: ${line}\n`));
  const installed = join(cluster.directory, "kubernetes", "twill.yaml");
  for (const node of cluster.nodes)
    await cluster.on(node, "ctr", "-n", "k8s.io", "images", "import", "--all-platforms", previous.archive);
  const [today] = await versions(cluster);
  const since = await readySince(cluster);
  await whileTalking(cluster, async () => {
    // Back, one node, and there it stays for a while.
    await cluster.apply(...onDelete(withoutSettings(previous.manifest)));
    const first = (await agentPods(cluster)).find(({ spec }) => spec.nodeName === "node1");
    await cluster.kubectl("-n", "twill-system", "delete", "pod", first?.metadata.name ?? "");
    await until("node1 has the version before, and it is ready", async () => {
      const pods = await agentPods(cluster);
      return pods.length === 3 && pods.every(isReady) && (await versions(cluster))[0] === previous.image;
    });
    expect(await versions(cluster)).toEqual([previous.image, today, today]);
    await expectNewPodsReached(cluster, "side-by-side");
    // Back on all nodes, then forward, as users do.
    await cluster.apply(...withoutSettings(previous.manifest));
    await rolledOut(cluster);
    expect(await versions(cluster)).toEqual([previous.image, previous.image, previous.image]);
    await expectNewPodsReached(cluster, "before");
    await cluster.kubectl("apply", "-f", installed);
    await rolledOut(cluster);
    expect(await versions(cluster)).toEqual([today, today, today]);
    await expectNewPodsReached(cluster, "after");
  });
  expect(await readySince(cluster)).toEqual(since);
});

/** kill -9 of a node's agent. Its processes are told from others' by the node's network namespace. */
const killAgent = (cluster: TestCluster, node: string) =>
  cluster.on(
    node,
    "sh",
    "-c",
    `own=$(readlink /proc/self/ns/net)
     for pid in $(pgrep -x twill-agent); do [ "$(readlink /proc/$pid/ns/net)" = "$own" ] && kill -9 $pid; done; true`,
  );

life("agents that are killed on all nodes at once come back; the nodes stay Ready", async (cluster) => {
  const since = await readySince(cluster);
  const restarts = async () =>
    (await agentPods(cluster)).flatMap(({ status }) => status.containerStatuses ?? []).map((each) => each.restartCount);
  const before = await restarts();
  await whileTalking(cluster, async () => {
    await Promise.all(cluster.nodes.map((node) => killAgent(cluster, node)));
    await until("each was started once more", async () => {
      const now = await restarts();
      return now.every((count, index) => count > (before[index] ?? 0)) && (await agentPods(cluster)).every(isReady);
    });
    await expectNewPodsReached(cluster, "again");
  });
  expect(await readySince(cluster)).toEqual(since);
});

const staticPod = (cluster: TestCluster) =>
  join(cluster.directory, "nodes/node2/var-lib-kubelet/manifests/without-api.json");
const addressOnNode = async (cluster: TestCluster): Promise<string | undefined> => {
  const rows = JSON.parse(await cluster.on("node2", "twill", "get", "endpoints", "-o", "json"));
  return rows.find(({ pod: name }: { pod: string }) => name.startsWith("without-api"))?.addresses[0];
};

/** A pod comes and goes on node2, and is reached, with nobody to ask but the node itself. */
async function expectPodsWithoutApi(cluster: TestCluster): Promise<void> {
  writeFileSync(staticPod(cluster), JSON.stringify(pod("without-api", podSpec(webContainer()))));
  await until("a static pod got an address", async () => (await addressOnNode(cluster)) !== undefined);
  const address = await addressOnNode(cluster);
  for (const node of cluster.nodes)
    await until(`${node} reaches it`, async () => {
      const url = `http://${address}:8080/hostname`;
      return (await cluster.run("exec", node, "--", "curl", "-sSf", "-m5", url)).status === 0;
    });
  rmSync(staticPod(cluster));
  await until("its address is free", async () => (await addressOnNode(cluster)) === undefined);
}

life("the API server is restarted, and etcd is killed", async (cluster) => {
  await whileTalking(cluster, async () => {
    await cluster.lab("control", "restart", "kube-apiserver");
    await expectNewPodsReached(cluster, "restarted");
    await cluster.lab("control", "kill", "etcd");
    await Bun.sleep(3000);
    await cluster.lab("control", "start", "etcd");
    await until("the API server has its datastore again", async () => {
      return (await cluster.run("exec", "control", "--", "kubectl", "get", "nodes")).status === 0;
    });
    await expectNewPodsReached(cluster, "after-etcd");
  });
});

/** Seconds. An hour of it is in apps/agent/hour-away.test.ts, by a clock that tests can turn. */
const frozenFor = 100;

life("the API server says nothing for minutes: a stopped process, whose connections stay open", async (cluster) => {
  const signal = (name: string) => cluster.on("control", "pkill", `-${name}`, "-x", "kube-apiserver");
  await whileTalking(cluster, async () => {
    const began = performance.now();
    await signal("STOP");
    try {
      await killAgent(cluster, "node1"); // it starts from its cache
      await expectPodsWithoutApi(cluster);
      await until("the killed agent serves its node", async () => {
        return (await cluster.run("exec", "node1", "--", "twill", "status")).stdout.includes("node1: ready");
      });
      await Bun.sleep(Math.max(0, frozenFor * 1000 - (performance.now() - began)));
      for (const node of cluster.nodes) {
        const status = await cluster.on(node, "twill", "status");
        expect(status).toContain(`${node}: ready`);
        expect(status).toMatch(/datastore/);
      }
    } finally {
      await signal("CONT");
    }
    await cluster.awaitHealthy();
    await expectNewPodsReached(cluster, "after-silence");
  });
});

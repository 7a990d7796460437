import { expect } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isReady, type PodObject, type TestCluster, until } from "./cluster.fixture.ts";
import { life, whileTalking } from "./life.fixture.ts";
import { expectAllReached, reachFromNode, reachFromPod } from "./reach.fixture.ts";
import {
  agnhost,
  deployment,
  job,
  pauseContainer,
  pod,
  podSpec,
  spreadOverNodes,
  statefulSet,
  webContainer,
} from "./workloads.fixture.ts";

const rolledOut = (cluster: TestCluster, what: string) => cluster.kubectl("rollout", "status", what, "--timeout=400s");
const addressOf = ({ status }: PodObject): string => status.podIP ?? "none";

life("100 pods at once on one node: all get addresses, and give them back", async (cluster) => {
  const many = deployment(
    "many",
    100,
    podSpec(pauseContainer, { nodeSelector: { "kubernetes.io/hostname": "node2" } }),
  );
  await whileTalking(cluster, async () => {
    await cluster.apply(many);
    await rolledOut(cluster, "deployment/many");
    const pods = await cluster.pods("-l", "app=many");
    expect(new Set(pods.map(addressOf)).size).toBe(100);
    expect(pods.every(({ spec }) => spec.nodeName === "node2")).toBe(true);
    await cluster.remove(many);
  });
});

life("a Job with 200 completions, 20 at once: each gets an address, none fails, none keeps it", async (cluster) => {
  const tiny = { name: "a", image: agnhost, args: ["--version"] };
  const work = job("work", 200, 20, podSpec(tiny));
  await whileTalking(cluster, async () => {
    await cluster.apply(work);
    await cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=600s");
    const { status } = await cluster.get<{ readonly status: { readonly succeeded: number; readonly failed?: number } }>(
      "job",
      "work",
    );
    expect(status).toMatchObject({ succeeded: 200 });
    expect(status.failed).toBeUndefined();
    await cluster.remove(work);
  });
});

life(
  "pods of a StatefulSet come back with new addresses: these are reached, the old ones are nobody's",
  async (cluster) => {
    const db = statefulSet("db", 3, podSpec(webContainer(), spreadOverNodes("db")));
    const pods = async () => new Map((await cluster.pods("-l", "app=db")).map((each) => [each.metadata.name, each]));
    await whileTalking(cluster, async () => {
      await cluster.apply(db);
      await rolledOut(cluster, "statefulset/db");
      const before = await pods();
      // One as it should be done; one by force: its name comes back while its container may still run.
      await cluster.kubectl("delete", "pod", "db-0");
      await cluster.kubectl("delete", "pod", "db-1", "--force", "--grace-period=0");
      await until("both came back", async () => {
        const now = await pods();
        return ["db-0", "db-1"].every((name) => {
          const found = now.get(name);
          return found !== undefined && isReady(found) && found.metadata.uid !== before.get(name)?.metadata.uid;
        });
      });
      const after = await pods();
      for (const name of ["db-0", "db-1"]) {
        const old = before.get(name);
        expect([...after.values()].map(addressOf)).not.toContain(old && addressOf(old));
        expect(await reachFromNode(cluster, "node1", old ? addressOf(old) : "none")).not.toBe("");
      }
      await expectAllReached(cluster, [...after.values()]);
      await cluster.remove(db);
    });
  },
);

life("evicted, by the API and by a taint, pods come up on other nodes and are reached", async (cluster) => {
  const web = deployment("moving", 4, podSpec(webContainer(), spreadOverNodes("moving")));
  const pods = async () => (await cluster.pods("-l", "app=moving")).filter(isReady);
  const awayFrom = (node: string) =>
    until(`four are ready, none on ${node}`, async () => {
      const now = await cluster.pods("-l", "app=moving");
      return now.length === 4 && now.every((each) => isReady(each) && each.spec.nodeName !== node);
    });
  await whileTalking(cluster, async () => {
    await cluster.apply(web);
    await rolledOut(cluster, "deployment/moving");
    expect((await pods()).some(({ spec }) => spec.nodeName === "node3")).toBe(true);
    try {
      await cluster.kubectl("drain", "node3", "--ignore-daemonsets", "--timeout=150s");
      await awayFrom("node3");
      await expectAllReached(cluster, await pods());
      await cluster.kubectl("uncordon", "node3");

      await cluster.kubectl("taint", "node", "node1", "twill.dev/test=leave:NoExecute");
      await awayFrom("node1");
      await expectAllReached(cluster, await pods());
    } finally {
      await cluster.kubectl("uncordon", "node3");
      await cluster.run("exec", "control", "--", "kubectl", "taint", "node", "node1", "twill.dev/test-");
    }
    await cluster.remove(web);
  });
});

life(
  "a static pod is a pod like others; pods on the node's network have its address, and none of ours",
  async (cluster) => {
    const manifest = pod("static", podSpec(webContainer()));
    const file = join(cluster.directory, "nodes/node2/var-lib-kubelet/manifests/static.json");
    const ports = ["netexec", "--http-port=8090", "--udp-port=-1"];
    const onNode = (name: string, node: string) =>
      pod(
        name,
        podSpec(webContainer({ args: ports, readinessProbe: undefined }), { hostNetwork: true, nodeName: node }),
      );
    const hosts = [onNode("host-a", "node1"), onNode("host-b", "node3")];
    const find = async (name: string) => (await cluster.pods()).find(({ metadata }) => metadata.name === name);
    await whileTalking(cluster, async () => {
      writeFileSync(file, JSON.stringify(manifest));
      await cluster.apply(...hosts, pod("client", podSpec(webContainer(), { nodeName: "node1" })));
      await until("the static pod is ready", async () => {
        const found = await find("static-node2");
        return found !== undefined && isReady(found);
      });
      for (const name of ["host-a", "host-b", "client"])
        await cluster.kubectl("wait", "--for=condition=Ready", `pod/${name}`, "--timeout=150s");
      const address = async (name: string) => (await find(name))?.status.podIP ?? "none";
      const [own, a, b] = await Promise.all(["static-node2", "host-a", "host-b"].map(address));
      expect([a, b]).toEqual(["192.168.1.11", "192.168.2.13"]);
      const faults = await Promise.all([
        reachFromPod(cluster, "client", own ?? ""),
        reachFromPod(cluster, "host-a", own ?? ""),
        reachFromPod(cluster, "host-b", own ?? ""),
        reachFromNode(cluster, "node3", own ?? ""),
        reachFromPod(cluster, "client", a ?? "", 8090),
        reachFromPod(cluster, "client", b ?? "", 8090),
        reachFromPod(cluster, "host-a", b ?? "", 8090),
      ]);
      expect(faults.filter((fault) => fault !== "")).toEqual([]);
      rmSync(file);
      await cluster.remove(...hosts, pod("client", {}));
      await until("the static pod is gone", async () => (await find("static-node2")) === undefined);
    });
  },
);

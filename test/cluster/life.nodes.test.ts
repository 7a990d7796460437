import { expect } from "bun:test";
import { isReady, type NodeObject, type PodObject, type TestCluster, until } from "./cluster.fixture.ts";
import { life, whileTalking } from "./life.fixture.ts";
import { expectAllReached } from "./reach.fixture.ts";
import { deployment, podSpec, spreadOverNodes, webContainer } from "./workloads.fixture.ts";

/** What happens to node2 is nothing to these. */
const others = ["node1", "node3"];
const web = deployment("web", 3, podSpec(webContainer(), spreadOverNodes("web")));
const webPods = (cluster: TestCluster) => cluster.pods("-l", "app=web");
const rolledOut = (cluster: TestCluster) => cluster.kubectl("rollout", "status", "deployment/web", "--timeout=300s");

const nodeObject = async (cluster: TestCluster, name: string): Promise<NodeObject | undefined> =>
  (await cluster.nodeObjects()).find(({ metadata }) => metadata.name === name);
const podsOn = async (cluster: TestCluster, node: string): Promise<readonly PodObject[]> =>
  (await cluster.pods("-A")).filter(({ spec }) => spec.nodeName === node);

/** The node is Ready, and its agent and the pods that stay are, too. */
const awaitNode = (cluster: TestCluster, name: string) =>
  until(`${name} is back with its pods`, async () => {
    const node = await nodeObject(cluster, name);
    const pods = await podsOn(cluster, name);
    return node !== undefined && isReady(node) && pods.length >= 3 && pods.every(isReady);
  });

/** Deletes the web pods of that node, and has one made there again. */
async function renewOn(cluster: TestCluster, node: string): Promise<void> {
  const there = (await webPods(cluster)).filter(({ spec }) => spec.nodeName === node);
  for (const { metadata } of there) await cluster.kubectl("delete", "pod", metadata.name, "--wait=false");
  await cluster.kubectl("scale", "deployment/web", "--replicas=0");
  await until("no web pod is left", async () => (await webPods(cluster)).length === 0);
  await cluster.kubectl("scale", "deployment/web", "--replicas=3");
  await rolledOut(cluster);
}

/** One web pod a node, all of them reached. */
async function expectAllServe(cluster: TestCluster): Promise<void> {
  const pods = await webPods(cluster);
  expect(pods.map(({ spec }) => spec.nodeName).sort()).toEqual([...cluster.nodes]);
  await expectAllReached(cluster, pods);
}

life("a Node object is deleted and comes back: at once, with its pods; and after they are gone", async (cluster) => {
  await whileTalking(
    cluster,
    async () => {
      await cluster.apply(web);
      await rolledOut(cluster);
      // At once: kubelet registers when it starts, and the controller manager gives the new Node the next podCIDR.
      const before = await nodeObject(cluster, "node2");
      await cluster.kubectl("delete", "node", "node2");
      await cluster.lab("kubelet", "restart", "node2");
      await until("node2 has a podCIDR again", async () => {
        const now = await nodeObject(cluster, "node2");
        return now?.spec.podCIDR !== undefined && now.metadata.uid !== before?.metadata.uid && isReady(now);
      });
      const { podCIDR } = (await nodeObject(cluster, "node2"))?.spec ?? {};
      await until("the agent follows", async () => {
        return (await cluster.on("node2", "twill", "status")).includes(`pods: ${podCIDR}`);
      });
      if (podCIDR !== before?.spec.podCIDR)
        expect(await cluster.on("node2", "twill", "status")).toContain("delete these pods");
      for (const { metadata } of (await podsOn(cluster, "node2")).filter(({ spec }) => spec.hostNetwork !== true))
        await cluster.kubectl("-n", metadata.namespace, "delete", "pod", metadata.name);
      await awaitNode(cluster, "node2");
      await renewOn(cluster, "node2");
      await expectAllServe(cluster);

      // For longer: the controller manager deletes the pods of a Node that is gone, and kubelet ends them.
      await cluster.kubectl("delete", "node", "node2");
      await until("its pods are gone", async () => (await podsOn(cluster, "node2")).length === 0);
      for (const node of others)
        expect(await cluster.on(node, "ip", "route", "show", "proto", "84")).not.toContain("192.168.1.12");
      await cluster.lab("kubelet", "restart", "node2");
      await awaitNode(cluster, "node2");
      await renewOn(cluster, "node2");
      await expectAllServe(cluster);
      await cluster.remove(web);
    },
    others,
  );
});

life("a node is rebooted: its pods come back, no address is lost and none is given twice", async (cluster) => {
  await whileTalking(
    cluster,
    async () => {
      await cluster.apply(web);
      await rolledOut(cluster);
      const restarted = async () => {
        const found = (await webPods(cluster)).find(({ spec }) => spec.nodeName === "node2");
        return found !== undefined && isReady(found) && found.status.containerStatuses?.[0]?.restartCount === 1;
      };
      await cluster.lab("node", "stop", "node2");
      await cluster.lab("node", "start", "node2");
      await until("the web pod of node2 runs again", restarted);
      await awaitNode(cluster, "node2");
      await expectAllServe(cluster);
      // No container survived, so no DEL has to come for the addresses of before.
      const agent = (await podsOn(cluster, "node2")).find(({ metadata }) => metadata.namespace === "twill-system");
      const said = await cluster.kubectl("-n", "twill-system", "logs", agent?.metadata.name ?? "");
      expect(said).toContain("the machine was booted: addresses of its old pods are free");
      await cluster.remove(web);
    },
    others,
  );
});

life("a machine is scrapped, and another comes under its name", async (cluster) => {
  await whileTalking(
    cluster,
    async () => {
      await cluster.apply(web);
      await rolledOut(cluster);
      await cluster.lab("node", "del", "node2");
      await cluster.kubectl("delete", "node", "node2");
      await cluster.lab("node", "add", "node2", "--subnet", "1");
      await awaitNode(cluster, "node2");
      await renewOn(cluster, "node2");
      await expectAllServe(cluster);
      await cluster.remove(web);
    },
    others,
  );
});

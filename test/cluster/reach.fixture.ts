import { expect } from "bun:test";
import type { PodObject, TestCluster } from "./cluster.fixture.ts";

/** Every one of these web pods asks every other by address, and so does every node. */
export async function expectAllReached(cluster: TestCluster, pods: readonly PodObject[]): Promise<void> {
  const addresses = pods.map(({ status }) => status.podIP ?? "none");
  const fromPods = pods.flatMap(({ metadata }) =>
    addresses.map((address) => reachFromPod(cluster, metadata.name, address)),
  );
  const fromNodes = cluster.nodes.flatMap((node) => addresses.map((address) => reachFromNode(cluster, node, address)));
  expect((await Promise.all([...fromPods, ...fromNodes])).filter((fault) => fault !== "")).toEqual([]);
}

/** Empty: reached. Else why not. */
export async function reachFromPod(cluster: TestCluster, name: string, address: string, port = 8080): Promise<string> {
  const target = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const connect = ["/agnhost", "connect", target, "--timeout=5s"];
  const { status, stderr } = await cluster.run("exec", "control", "--", "kubectl", "exec", name, "--", ...connect);
  return status === 0 ? "" : `pod ${name} → ${target}: ${stderr.trim()}`;
}

export async function reachFromNode(cluster: TestCluster, node: string, address: string, port = 8080): Promise<string> {
  const url = `http://${address.includes(":") ? `[${address}]` : address}:${port}/hostname`;
  const { status, stderr } = await cluster.run("exec", node, "--", "curl", "-sSf", "-m5", "-o/dev/null", url);
  return status === 0 ? "" : `${node} → ${url}: ${stderr.trim()}`;
}

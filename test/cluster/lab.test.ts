import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { labCgroup } from "../../lab/kubernetes/cgroups.ts";
import { killProcess } from "../../lab/process.ts";
import { TestLab } from "../lab/support.ts";
import { isReady, type PodObject, until } from "./cluster.fixture.ts";

setDefaultTimeout(300_000);

/** `twill lab up --kubernetes` itself: what people do with it, and that nothing of it stays. Twill in it: life.*.test.ts. */
const lab = new TestLab();

const kubectl = (...args: string[]): Promise<string> => lab.do("exec", "control", "--", "kubectl", ...args);
const pods = async (): Promise<readonly PodObject[]> =>
  JSON.parse(await kubectl("get", "pods", "-A", "-o", "json")).items;
/** The agents, and the pod that is ours. */
const allReady = async (): Promise<boolean> => (await pods()).length === 3 && (await pods()).every(isReady);

beforeAll(async () => {
  await lab.do("up", "--kubernetes", "--nodes", "2");
  await kubectl("run", "one", "--image=registry.k8s.io/pause:3.10", '--overrides={"spec":{"nodeName":"node2"}}');
  await until("all pods are ready", allReady);
});
afterAll(() => lab[Symbol.asyncDispose]());

test("what people see: nodes and agents that are ready, and every path works", async () => {
  expect((await kubectl("get", "nodes", "--no-headers")).match(/ Ready /g)).toHaveLength(2);
  for (const node of ["node1", "node2"])
    expect(await lab.do("exec", node, "--", "twill", "status")).toContain(`${node}: ready`);
  // From nodes, a pod and the outside, to these; itself too.
  expect(await lab.do("check", "--settle", "20")).toMatch(/\n(\d+) of \1 paths work/);
});

test("kubelet and containerd are stopped and started, and containers live on", async () => {
  const started = async () =>
    await kubectl("get", "pods", "-A", "-o", "jsonpath={.items[*].status.containerStatuses[*].state}");
  const before = await started();
  // A kubelet that finds no containerd when it starts gives up, and here nobody starts it again.
  for (const name of ["containerd", "kubelet"]) {
    await lab.do(name, "kill", "node2");
    await lab.do(name, "start", "node2");
  }
  await until("all pods are ready", allReady);
  expect(await started()).toBe(before);
  const { stderr } = await lab.run("kubelet", "start", "node2");
  expect(stderr).toContain("it runs already");
});

test("a power cut takes the node's containers along; they run again after a boot, and leave no zombie", async () => {
  const cgroup = () => existsSync(join("/sys/fs/cgroup/pids", labCgroup(lab.directory), "node2"));
  expect(cgroup()).toBe(existsSync("/sys/fs/cgroup/pids"));
  await lab.do("node", "stop", "node2");
  expect(cgroup()).toBe(false);
  await lab.do("node", "start", "node2");
  await until("the pod of node2 was restarted, and is ready", async () => {
    const one = (await pods()).find(({ metadata }) => metadata.name === "one");
    return one?.status.containerStatuses?.[0]?.restartCount === 1 && (await allReady());
  });
  await until("no zombie is left", async () => {
    return (await lab.do("exec", "node1", "--", "sh", "-c", "ps -eo stat | grep -c ^Z || true")).trim() === "0";
  });
});

test("kill -9 of the lab's first process: nothing stays, no process, mount or cgroup", async () => {
  const cgroups = () =>
    readdirSync("/sys/fs/cgroup", { recursive: false, encoding: "utf8" })
      .map((name) => join("/sys/fs/cgroup", name, labCgroup(lab.directory)))
      .concat(join("/sys/fs/cgroup", labCgroup(lab.directory)))
      .filter((path) => existsSync(path));
  expect(cgroups()).not.toEqual([]);
  const namespaces = lab.namespaces();
  const { init } = JSON.parse(readFileSync(join(lab.directory, "lab.json"), "utf8"));
  expect(killProcess(init)).toBe(true);
  await lab.do("down");
  expect(cgroups()).toEqual([]);
  expect(lab.traces(namespaces)).toEqual([]);
});

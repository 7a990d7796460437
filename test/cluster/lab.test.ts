import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { labCgroup } from "../../lab/kubernetes/cgroups.ts";
import { killProcess } from "../../lab/process.ts";
import { TestLab } from "../lab/support.ts";

setDefaultTimeout(180_000);

/** `twill lab up --kubernetes`: kubelets, containerd and Twill's DaemonSet, as users meet them. One cluster for the file. */
const lab = new TestLab();
const nodes = ["node1", "node2", "node3"];

const kubectl = (...args: string[]): Promise<string> => lab.do("exec", "control", "--", "kubectl", ...args);
const json = async (...args: string[]): Promise<List> => JSON.parse(await kubectl("get", ...args, "-o", "json"));

interface List {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly podIP?: string;
      readonly conditions: readonly { readonly type: string; readonly status: string }[];
      readonly containerStatuses?: readonly { readonly restartCount: number }[];
    };
  }[];
}

const isReady = ({ status }: List["items"][number]): boolean =>
  status.conditions.some(({ type, status }) => type === "Ready" && status === "True");

const web = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web" },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        terminationGracePeriodSeconds: 1,
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "kubernetes.io/hostname",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "web" } },
          },
        ],
        containers: [
          {
            name: "web",
            image: "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
            args: ["netexec", "--http-port=8080"],
            readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
            livenessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 2 },
          },
        ],
      },
    },
  },
};

const webPods = async (): Promise<List["items"]> => (await json("pods", "-l", "app=web")).items;
const rolledOut = (): Promise<string> => kubectl("rollout", "status", "deployment/web", "--timeout=120s");

/** All pods anew, one a node: the spread counts pods that are still ending, so there must be none. */
async function renew(): Promise<void> {
  await kubectl("scale", "deployment/web", "--replicas=0");
  await until(async () => (await webPods()).length === 0);
  await kubectl("scale", "deployment/web", "--replicas=3");
  await rolledOut();
}

async function until(what: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 90_000;
  while (!(await what())) {
    if (performance.now() > deadline) throw new Error("it did not come true in 90 s");
    await Bun.sleep(300);
  }
}

/** Every pod asks every other by address, and so does every node. */
async function expectAllReached(): Promise<void> {
  const pods = await webPods();
  expect(pods.map(({ spec }) => spec.nodeName).sort()).toEqual(nodes);
  const addresses = pods.map(({ status }) => status.podIP ?? "none");
  for (const { metadata } of pods)
    for (const address of addresses)
      await kubectl("exec", metadata.name, "--", "/agnhost", "connect", `${address}:8080`, "--timeout=5s");
  for (const node of nodes)
    for (const address of addresses)
      await lab.do("exec", node, "--", "curl", "-sSf", "-m5", "-o/dev/null", `http://${address}:8080/hostname`);
}

beforeAll(async () => {
  await lab.do("up", "--kubernetes");
  const file = join(lab.directory, "web.json");
  writeFileSync(file, JSON.stringify(web));
  await kubectl("apply", "-f", file);
  await rolledOut();
});
afterAll(() => lab[Symbol.asyncDispose]());

test("all nodes are Ready, and the DaemonSet runs on each", async () => {
  const { items } = await json("nodes");
  expect(items.map(({ metadata }) => metadata.name)).toEqual(nodes);
  expect(items.every(isReady)).toBe(true);
  const agents = (await json("pods", "-n", "twill-system")).items;
  expect(agents.map(({ spec }) => spec.nodeName).sort()).toEqual(nodes);
  expect(agents.every(isReady)).toBe(true);
  expect(await kubectl("logs", "-n", "twill-system", "daemonset/twill-agent")).toContain("ready: pods can be added");
  for (const node of nodes) expect(await lab.do("exec", node, "--", "twill", "status")).toContain(`${node}: ready`);
});

test("a Deployment of three: reached pod to pod and from nodes; logs, exec and probes", async () => {
  await expectAllReached();
  for (const { metadata, status } of await webPods()) {
    expect(await kubectl("logs", metadata.name)).toContain("GET /healthz"); // its probes, too
    expect(status.containerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0]);
  }
  // Itself, each other, from and to three nodes, outside: TCP, UDP, ICMP, source address and MTU.
  expect(await lab.do("check", "--settle", "10")).toContain("\n30 of 30 paths work");
});

test("30 pods more and gone again: no namespace, device or zombie of theirs stays", async () => {
  const leftOn = async (node: string) => {
    const count = "ls /run/netns | wc -l; ip -o link | grep -c ' twl'; ps -eo stat | grep -c ^Z";
    return (await lab.do("exec", node, "--", "sh", "-c", `${count}; true`)).trim().split("\n").map(Number);
  };
  await kubectl("scale", "deployment/web", "--replicas=33");
  await rolledOut();
  expect(await leftOn("node1")).toEqual([11, 11, expect.any(Number)]);
  await kubectl("scale", "deployment/web", "--replicas=3");
  await until(async () => (await webPods()).length === 3);
  for (const node of nodes) {
    const own = (await webPods()).filter(({ spec }) => spec.nodeName === node).length;
    await until(async () => JSON.stringify(await leftOn(node)) === JSON.stringify([own, own, 0]));
  }
  await renew();
});

/** Pings from the pod on node1 to the one on node3, 50 a second for 20 s, while `work` goes on: none may be lost. */
async function whileTalking(work: () => Promise<unknown>): Promise<void> {
  const target = (await webPods()).find(({ spec }) => spec.nodeName === "node3")?.status.podIP ?? "none";
  const netns = (await lab.do("exec", "node1", "--", "ls", "/run/netns")).trim().split("\n")[0];
  const inPod = ["exec", "node1", "--", "nsenter", `--net=/run/netns/${netns}`];
  const pinging = lab.do(...inPod, "ping", "-q", "-i0.02", "-c1000", "-W3", target);
  await work();
  expect(await pinging).toContain("1000 packets transmitted, 1000 received, 0% packet loss");
}

test("a rolling restart of the DaemonSet loses no packet", async () => {
  await whileTalking(async () => {
    await kubectl("-n", "twill-system", "rollout", "restart", "daemonset/twill-agent");
    await kubectl("-n", "twill-system", "rollout", "status", "daemonset/twill-agent", "--timeout=120s");
  });
  await expectAllReached();
});

test("without the API server pods keep talking; once it is back, so do new ones", async () => {
  await whileTalking(async () => {
    await lab.do("control", "kill", "kube-apiserver");
    expect((await lab.run("exec", "control", "--", "kubectl", "get", "nodes")).status).not.toBe(0);
    await Bun.sleep(10_000);
    expect(await lab.do("exec", "node1", "--", "twill", "status")).toContain("node1: ready");
    await lab.do("control", "start", "kube-apiserver");
  });
  await renew();
  await expectAllReached();
});

test("a node is scrapped, deleted, and another comes under its name", async () => {
  await lab.do("node", "del", "node2");
  await kubectl("delete", "node", "node2");
  await lab.do("node", "add", "node2", "--subnet", "1");
  await renew();
  await until(async () => (await json("pods", "-n", "twill-system")).items.filter(isReady).length === 3);
  await expectAllReached();
});

test("a Job of 60 completions, 20 at once: each gets an address, none keeps it", async () => {
  const job = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "many" },
    spec: {
      completions: 60,
      parallelism: 20,
      template: {
        spec: {
          restartPolicy: "Never",
          containers: [{ name: "a", image: "registry.k8s.io/e2e-test-images/agnhost:2.63.0", args: ["--version"] }],
        },
      },
    },
  };
  const file = join(lab.directory, "job.json");
  writeFileSync(file, JSON.stringify(job));
  await kubectl("apply", "-f", file);
  await kubectl("wait", "--for=condition=complete", "job/many", "--timeout=150s");
  const failed = await kubectl("get", "job", "many", "-o", "jsonpath={.status.failed}");
  expect(failed).toBe("");
  await kubectl("delete", "job", "many");
  for (const node of nodes)
    await until(async () => /MTU \d+, 1 addresses used/.test(await lab.do("exec", node, "--", "twill", "status")));
});

test("a power cut and a reboot: the node's pods come back and reach the others", async () => {
  const restarts = async () => {
    const found = (await webPods()).find(({ spec }) => spec.nodeName === "node2");
    return found !== undefined && isReady(found) ? found.status.containerStatuses?.[0]?.restartCount : undefined;
  };
  await lab.do("node", "stop", "node2");
  expect(existsSync(join("/sys/fs/cgroup/pids", labCgroup(lab.directory), "node2"))).toBe(false);
  await lab.do("node", "start", "node2");
  await until(async () => (await restarts()) === 1);
  await until(async () => (await json("pods", "-n", "twill-system")).items.every(isReady));
  await expectAllReached();
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

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import { decodeSwitchTarget } from "../../src/intent/flannel/switch-target.ts";
import type { ConfigMap, Node } from "../../src/store/kubernetes/object.ts";
import { CONFIG_MAPS, NODES } from "../../src/store/kubernetes/resource.ts";
import { AgentProcess } from "./agent.fixture.ts";
import { type Deployed, deployed, system } from "./deployed.fixture.ts";

setDefaultTimeout(240_000);

/** Two real agents with deploy/'s permissions change their configuration by a real API server; the network is played. */
const names = ["switch-a", "switch-b"] as const;
let cluster: Deployed;
let agents: AgentProcess[] = [];

const netConf = (text: string) =>
  cluster.api.patch(CONFIG_MAPS, { namespace: system, name: "twill-config" }, { data: { "net-conf.json": text } });
const conf = (backend: object) => JSON.stringify({ Network: "10.244.0.0/16", Backend: backend });
const remove = (name: string) => cluster.api.delete(NODES, { name }).catch(() => {});

beforeAll(async () => {
  cluster = await deployed();
  await cluster.withoutNodes();
  await netConf(conf({ Type: "vxlan" }));
  for (const [index, name] of names.entries()) {
    const podCIDR = `10.244.${60 + index}.0/24`;
    await cluster.node(name, { metadata: { name }, spec: { podCIDR, podCIDRs: [podCIDR] } });
    const kubeconfig = await cluster.agentOn(name);
    const port = Number(new URL(cluster.plane.server).port);
    agents.push(new AgentProcess({ node: name, kubeconfig, port, address: `192.168.7.${60 + index}` }));
  }
  await settled("vxlan");
}, 900_000);
afterAll(async () => {
  for (const agent of agents) {
    await agent.stop();
    agent.remove();
  }
  agents = [];
  for (const name of names) await remove(name);
  await netConf(conf({ Type: "vxlan" }));
});

async function target() {
  const { data } = await cluster.api.get<ConfigMap>(CONFIG_MAPS, { namespace: system, name: "twill-switch" });
  return data?.target === undefined
    ? undefined
    : decodeSwitchTarget(new TextEncoder().encode(data.target), { allowExtension: true });
}
async function standingOf(name: string) {
  const { metadata } = await cluster.api.get<Node>(NODES, { name });
  const written = metadata.annotations?.["twill.dev/node"];
  return written === undefined ? undefined : decodeLease(new TextEncoder().encode(written)).standing;
}

/** Both have nothing left to do, by a configuration that holds the text. */
async function settled(backend: string): Promise<void> {
  let last: unknown;
  for (const deadline = performance.now() + 90_000; performance.now() < deadline; await Bun.sleep(200)) {
    const [to, ...standings] = [await target(), await standingOf(names[0]), await standingOf(names[1])];
    last = { to, standings };
    if (to === undefined || !JSON.stringify(to.configs.get(to.id)?.backend).includes(backend)) continue;
    if (standings.every((at) => at?.epoch === to.epoch && at.sends === to.id && at.offers.length === 1)) return;
  }
  throw new Error(`it stayed ${JSON.stringify(last)}\n${agents.map((agent) => agent.log.slice(-2000)).join("\n")}`);
}

test("the ConfigMap edited: both agents go, by annotations of their Nodes and one ConfigMap", async () => {
  await netConf(conf({ Type: "vxlan", VNI: 7, DirectRouting: true }));
  await settled('"vni":7');
  for (const agent of agents) {
    const devices = agent.netns.run("ip", "-o", "link");
    expect(devices).toContain("flannel.7");
    expect(devices).not.toContain("flannel.1:");
  }
  await netConf(conf({ Type: "host-gw" }));
  await settled("host-gw");
  const { metadata } = await cluster.api.get<Node>(NODES, { name: names[0] });
  expect(metadata.annotations?.["flannel.alpha.coreos.com/backend-type"]).toBe("host-gw");
  const [first] = agents;
  expect(first?.netns.run("ip", "route", "show", "proto", "84")).toContain("10.244.61.0/24 via 192.168.7.61 dev");
});

test("a Node of flanneld's: refused with its name; gone, the change is made", async () => {
  const prefix = "flannel.alpha.coreos.com";
  const annotations = {
    [`${prefix}/kube-subnet-manager`]: "true",
    [`${prefix}/backend-type`]: "host-gw",
    [`${prefix}/backend-data`]: "null",
    [`${prefix}/public-ip`]: "192.168.7.99",
  };
  await cluster.node("switch-flanneld", {
    metadata: { name: "switch-flanneld", annotations },
    spec: { podCIDR: "10.244.99.0/24", podCIDRs: ["10.244.99.0/24"] },
  });
  const before = await target();
  await netConf(conf({ Type: "vxlan" }));
  const [first] = agents;
  let said = "";
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await Bun.sleep(300)) {
    said = (await first?.status())?.problems.map(({ message }) => message).join() ?? "";
    if (said.includes("node switch-flanneld runs flanneld")) break;
  }
  expect(said).toContain("node switch-flanneld runs flanneld");
  expect(await target()).toEqual(before);
  await remove("switch-flanneld");
  await settled("vxlan");
});

import { expect, setDefaultTimeout, test } from "bun:test";
import { renameSync } from "node:fs";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

const web = { podSelector: { matchLabels: { role: "web" } } };
const fromClients = { from: [{ podSelector: { matchLabels: { role: "client" } } }], ports: [{ port: "http" }] };
const denyIngress = { ...web, policyTypes: ["Ingress"] };

test("a policy is in force on every node, for pods as they are and as they become, and gone when it is deleted", async () => {
  await using cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2 });
  const { lab } = cluster;
  const [web1, web2, client1, client2] = ["node1/pod-a", "node2/pod-a", "node1/pod-b", "node2/pod-b"] as const;
  expect(await cluster.reach(web2, web1)).toBe("answer");
  expect(await lab.on("node1", "nft list table inet twill")).not.toContain("decisions");

  await cluster.policy("default", "web", { ...denyIngress, ingress: [fromClients] });
  await cluster.becomes(web2, web1, "silence");
  await cluster.becomes(web1, web2, "silence");
  for (const to of [web1, web2]) for (const from of [client1, client2]) await cluster.becomes(from, to, "answer");
  // Its own node reaches it, another one does not; what it sends is not judged.
  expect(await cluster.reach("node1", web1)).toBe("answer");
  expect(await cluster.reach("node2", web1)).toBe("silence");
  expect(await cluster.reach(web1, client2)).toBe("answer");

  // From its first packet on, wherever the other is: ADD has returned, nothing else is waited for.
  for (let count = 0; count < 3; count++) {
    const late = await cluster.run("node1", "default", `late${count}`, { role: "web" });
    expect([await cluster.reach(web2, late), await cluster.reach("node2", late)]).toEqual(["silence", "silence"]);
    await cluster.becomes(client2, late, "answer");
    await cluster.end(late);
  }
  const stranger = await cluster.run("node2", "other", "client", { role: "client" });
  expect(await cluster.reach(stranger, web1)).toBe("silence");
  const opened = {
    from: [
      {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "other" } },
        podSelector: { matchLabels: { role: "client" } },
      },
    ],
  };
  await cluster.policy("default", "web", { ...denyIngress, ingress: [fromClients, opened] });
  await cluster.becomes(stranger, web1, "answer");
  // A namespace that loses its label takes its pods along. (An API server never lets it lose this one.)
  await cluster.policy("default", "web", { ...denyIngress, ingress: [{ from: [namespaceWith("team", "a")] }] });
  await cluster.becomes(stranger, web1, "silence");
  await cluster.put("namespaces", "other", namespace("other", { team: "a" }));
  await cluster.becomes(stranger, web1, "answer");
  await cluster.put("namespaces", "other", namespace("other", { team: "b" }));
  await cluster.becomes(stranger, web1, "silence");

  await cluster.policy("default", "web", undefined);
  for (const from of [web2, client1, stranger, "node2"]) await cluster.becomes(from, web1, "answer");
  expect((await lab.status("node1")).problems).toEqual([]);
});

const namespaceWith = (key: string, value: string) => ({ namespaceSelector: { matchLabels: { [key]: value } } });
const namespace = (name: string, labels: object) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});

test("agent, datastore and administrators fail: what is denied stays denied, and nobody is let in who was not before", async () => {
  await using cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2, agentFlags: ["--address-reuse-delay=0"] });
  const { lab } = cluster;
  const [web1, web2, client2] = ["node1/pod-a", "node2/pod-a", "node2/pod-b"] as const;
  await cluster.policy("default", "web", { ...denyIngress, ingress: [fromClients] });
  await cluster.becomes(web2, web1, "silence");
  await cluster.becomes(client2, web1, "answer");

  // Flushed: where the kernel lets nobody touch our table, nothing happens; elsewhere it is back in a second.
  await lab.attempt("node1", "nft flush ruleset");
  await cluster.becomes(web2, web1, "silence");
  expect(await cluster.reach(client2, web1)).toBe("answer");

  // The agent is dead: what is in force stays so, and no pod is added that it would not know.
  await lab.agent("node1", "kill");
  expect([await cluster.reach(web2, web1), await cluster.reach(client2, web1)]).toEqual(["silence", "answer"]);
  await expect(lab.call("addPod", { node: "node1", pod: "orphan" })).rejects.toThrow();
  await cluster.policy("default", "web", { ...denyIngress, ingress: [] });
  await lab.agent("node1", "start");
  await cluster.becomes(client2, web1, "silence");
  expect(await cluster.reach(web2, web1)).toBe("silence");

  // A broken one keeps its last good version; one that never was good denies, and both are said.
  await cluster.policy("default", "web", { ...denyIngress, ingress: [fromClients] });
  await cluster.becomes(client2, web1, "answer");
  await cluster.policy("default", "web", { ...denyIngress, ingress: "- Ingress by default denied" });
  const pair = await cluster.run("node2", "default", "pair", { role: "pair" });
  await cluster.policy("default", "never", { podSelector: { matchLabels: { role: "pair" } }, policyTypes: "Ingress" });
  await cluster.becomes(client2, pair, "silence");
  expect([await cluster.reach(client2, web1), await cluster.reach(web2, web1)]).toEqual(["answer", "silence"]);
  await until(async () => (await lab.status("node1")).problems.length === 2, "both are said");
  expect((await lab.status("node1")).problems.map(({ subject }) => subject).sort()).toEqual([
    "NetworkPolicy default/never",
    "NetworkPolicy default/web",
  ]);
  await cluster.policy("default", "never", undefined);

  // The datastore is away: a new pod is one of which nobody knows what it may do.
  const [folder, away] = [`${lab.directory}/store`, `${lab.directory}/store-away`];
  renameSync(folder, away);
  await until(async () => !(await lab.status("node1")).datastore.reachable, "the agent notices", 40_000);
  const late = await cluster.run("node1", "default", "late", { role: "client" });
  expect([await cluster.reach(late, "node2/pod-b"), await cluster.reach("node2", late)]).toEqual([
    "silence",
    "silence",
  ]);
  await lab.agent("node1", "kill");
  await lab.agent("node1", "start");
  await until(async () => (await lab.status("node1")).ready, "it starts without its datastore");
  expect([await cluster.reach(client2, web1), await cluster.reach(web2, web1)]).toEqual(["answer", "silence"]);
  expect(await cluster.reach(late, "node2/pod-b")).toBe("silence");
  renameSync(away, folder);
  await cluster.becomes(late, "node2/pod-b", "answer");
  await cluster.becomes(late, web1, "answer");
});

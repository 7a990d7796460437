import { expect, setDefaultTimeout, test } from "bun:test";
import { CLUSTER_NETWORK_POLICIES, NAMESPACES, objectName, PODS } from "../../apps/kinds.ts";
import { openDatastore } from "../../src/store/open.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

/** As Flannel's plugin would call them: Debian's bridge and host-local. */
const chain = {
  cniVersion: "1.0.0",
  name: "cbr0",
  type: "bridge",
  bridge: "cni0",
  isDefaultGateway: true,
  hairpinMode: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.88.1.0/24" }]] },
};
const server = 'Bun.serve({ port: 8080, hostname: "0.0.0.0", fetch: () => new Response("hello") })';

test("on another pod network: pods are found by their addresses, and policy is all that Twill does; one setting takes it away", async () => {
  await using cluster = await PolicyLab.up({ nodes: 1, subnets: 1, bare: true });
  const { lab } = cluster;
  const store = await openDatastore(lab.datastore);
  await store.close();
  await cluster.put(NAMESPACES, "shop", { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  const ends: (() => Promise<unknown>)[] = [];
  const addresses = new Map<string, string>();
  for (const [name, role] of [
    ["web", "web"],
    ["client", "client"],
    ["other", "other"],
  ] as const) {
    await lab.on("node1", `ip netns add ${name}`);
    const call = `CNI_COMMAND=ADD CNI_CONTAINERID=${name} CNI_NETNS=/run/netns/${name} CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni`;
    const answer = await lab.on("node1", `echo '${JSON.stringify(chain)}' | ${call} /usr/lib/cni/bridge`);
    const address: string = JSON.parse(answer).ips[0].address.split("/")[0];
    addresses.set(name, address);
    await cluster.put(PODS, objectName("shop", name), {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: "shop", name, uid: name, labels: { role } },
      spec: { nodeName: "node1", containers: [] },
      status: { phase: "Running", podIPs: [{ ip: address }] },
    });
  }
  ends.push(await lab.listen("node1", `ip netns exec web ${process.execPath} -e '${server}'`));
  const reach = async (from: string) => {
    const { status } = await lab.attempt(
      "node1",
      `${from} curl -s -o /dev/null -m 1 http://${addresses.get("web")}:8080/`,
    );
    return status === 0 ? "answer" : "silence";
  };
  const becomes = (from: string, expected: string) =>
    until(async () => (await reach(from)) === expected, `${from || "the node"}: ${expected}`, 30_000);
  const [client, other, node] = ["ip netns exec client", "ip netns exec other", ""];
  await becomes(other, "answer");

  const agent = (...flags: string[]) =>
    lab.listen(
      "node1",
      `twill-agent --datastore ${lab.datastore} --node-name node1 --iface eth0 --attachment=foreign ${flags.join(" ")}`,
    );
  const devices = () => lab.on("node1", "ip -o link; ip route; ls /etc/cni/net.d");
  const before = await devices();
  const ended = await agent();
  ends.push(ended);
  await until(async () => (await lab.attempt("node1", "twill status")).stdout.includes("node1: ready"), "it is ready");
  await cluster.policy("shop", "web", {
    podSelector: { matchLabels: { role: "web" } },
    policyTypes: ["Ingress"],
    ingress: [{ from: [{ podSelector: { matchLabels: { role: "client" } } }] }],
  });
  await becomes(other, "silence");
  expect([await reach(client), await reach(node)]).toEqual(["answer", "answer"]);
  await cluster.put(CLUSTER_NETWORK_POLICIES, "guard", {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: "guard" },
    spec: {
      tier: "Admin",
      priority: 1,
      subject: { namespaces: {} },
      ingress: [{ action: "Deny", from: [{ namespaces: {} }] }],
    },
  });
  await becomes(client, "silence");
  expect(await devices()).toBe(before);
  expect(await lab.on("node1", "nft list table inet twill")).not.toContain("masquerade");

  await ended();
  expect(await reach(client)).toBe("silence");
  ends.push(await agent("--policy=off"));
  await becomes(client, "answer");
  await becomes(other, "answer");
  for (const end of ends) await end();
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Trace } from "../../src/insight/trace.ts";
import { FaultLab, until } from "../faults/fault-lab.fixture.ts";

/** `twill trace` in a lab: on the way that works, and where something of the way is broken by hand. */

let lab: FaultLab;
const addresses = new Map<string, readonly string[]>();

beforeAll(async () => {
  lab = await FaultLab.up({
    nodes: 3,
    pods: 2,
    config: {
      Network: "10.244.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fd00:244::/56",
      Backend: { Type: "vxlan", DirectRouting: true },
    },
  });
  const { view } = await lab.call("status", null);
  for (const node of view.subnets.flatMap(({ nodes }) => nodes))
    for (const pod of node.pods) addresses.set(`${node.name}/${pod.name}`, pod.addresses);
}, 60_000);
afterAll(() => lab?.[Symbol.asyncDispose]());

const address = (pod: string, family: 4 | 6 = 4): string =>
  addresses.get(pod)?.find((one) => one.includes(":") === (family === 6)) ?? "";

async function trace(...words: string[]): Promise<Trace> {
  const { stdout, stderr } = await lab.attempt("node1", `twill trace -o json ${words.join(" ")}`);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Trace;
}

const devices = (result: Trace): string[] =>
  result.request.flatMap(({ node, watch }) =>
    watch === undefined ? [] : [`${node} ${watch.device.replace(/^twl.*/, "twl")}`],
  );

/** Breaks, looks, mends. */
async function broken(target: string, harm: string, mend: string, look: () => Promise<void>): Promise<void> {
  await lab.on(target, harm);
  try {
    await look();
  } finally {
    await lab.on(target, mend);
  }
}

test("through the tunnel, direct, within the node, to nodes and outside: every hop is seen, both ways, by both families", async () => {
  const tunnel = (device: string) => [
    "node1 eth0",
    "node1 twl",
    `node1 ${device}`,
    "node1 eth0",
    "node3 eth0",
    `node3 ${device}`,
    "node3 twl",
    "node3 eth0",
  ];
  for (const [family, device] of [
    [4, "flannel.1"],
    [6, "flannel-v6.1"],
  ] as const) {
    const ways: readonly (readonly [string, readonly string[]])[] = [
      [address("node3/pod-a", family), tunnel(device)],
      [
        address("node2/pod-a", family),
        ["node1 eth0", "node1 twl", "node1 eth0", "node2 eth0", "node2 twl", "node2 eth0"],
      ],
      [address("node1/pod-b", family), ["node1 eth0", "node1 twl", "node1 twl", "node1 eth0"]],
      [family === 4 ? "192.168.2.13" : "fd00:1ab:0:2::13", ["node1 eth0", "node1 twl", "node1 eth0", "node3 eth0"]],
      [family === 4 ? "203.0.113.10" : "2001:db8:113::10", ["node1 eth0", "node1 twl", "node1 eth0"]],
    ];
    for (const [to, expected] of ways) {
      for (const port of ["", family === 6 ? `[${to}]:8080` : `${to}:8080`]) {
        if (port !== "" && to.startsWith("192.168")) continue; // nothing listens on the nodes
        const result = await trace("pod-a.node1", port || to);
        const what = `${to} ${port}: ${JSON.stringify(result.sightings, null, 1)}`;
        expect([result.ok, result.answer.replace(/[\d.]+ ms/, "N ms"), what]).toEqual([
          true,
          port === "" || !to.includes("1ab")
            ? "it answers, N ms"
            : "it is reached, N ms, and nobody listens on this port",
          what,
        ]);
        expect(devices(result)).toEqual([...expected]);
        const unseen = result.sightings.filter(({ request, reply }) => !request || !reply);
        expect([to, unseen]).toEqual([to, []]);
        expect(result.differences).toEqual([]);
        expect([...result.request, ...result.reply].filter(({ verdict }) => verdict !== "passes")).toEqual([]);
      }
    }
  }
}, 120_000);

test("by name, by address; a port where nobody listens; UDP", async () => {
  await expect(trace("default/pod-a.node1", "no-such-pod")).rejects.toThrow("there is no pod");
  await expect(trace("no-such-pod", "10.0.0.1")).rejects.toThrow("not on this node");
  const refused = await trace("pod-a.node1", `${address("node3/pod-b")}:81`);
  expect([refused.ok, refused.probe.result]).toEqual([true, "refused"]);
  const udp = await trace("pod-a.node1", `${address("node3/pod-b")}:81`, "--udp");
  expect([udp.ok, udp.probe.result]).toEqual([true, "refused"]);
  expect((await lab.attempt("node2", `twill trace ${address("node1/pod-a")} 203.0.113.10`)).stderr).toContain(
    "it is on node1: run this there",
  );
}, 60_000);

test("a foreign firewall on either node is named, with its rule, and the probe stops there", async () => {
  const rule =
    'nft add table inet fw; nft "add chain inet fw f { type filter hook forward priority -10; }"; nft "add rule inet fw f ip daddr 10.244.0.0/16 icmp type echo-request drop comment \\"no ping\\""';
  for (const node of ["node1", "node3"]) {
    await broken(node, rule, "nft delete table inet fw", async () => {
      const result = await trace("pod-a.node1", address("node3/pod-a"));
      expect(result.ok).toBe(false);
      expect(result.answer).toMatch(
        new RegExp(`the probe stops: ${node} forward: inet fw f: rule handle \\d+ "no ping" drops`),
      );
      expect(result.remedy).toContain("rule's owner");
    });
  }
  expect((await trace("pod-a.node1", address("node3/pod-a"))).ok).toBe(true);
}, 60_000);

test("an answer that is dropped on its way back is told from a probe that is", async () => {
  const rule =
    'nft add table ip fw; nft "add chain ip fw f { type filter hook forward priority 0; }"; nft add rule ip fw f icmp type echo-reply counter drop';
  await broken("node3", rule, "nft delete table ip fw", async () => {
    const result = await trace("pod-a.node1", address("node3/pod-a"));
    expect(result.answer).toMatch(/the answer stops: node3 forward: ip fw f: rule handle \d+ drops/);
  });
}, 60_000);

test("what no state explains: the hop is named behind which the probe is not seen, and that state and probe differ", async () => {
  const harm =
    'nft add table bridge fw; nft "add chain bridge fw f { type filter hook prerouting priority 0; }"; nft add rule bridge fw f udp dport 8472 drop';
  await broken("router", harm, "nft delete table bridge fw", async () => {
    const result = await trace("pod-a.node1", address("node3/pod-a"));
    expect(result.ok).toBe(false);
    expect(result.answer).toContain("the probe was last seen at node1 eth0 and never came to node3 eth0");
    expect(result.differences).toHaveLength(1);
    expect(result.remedy).toContain("between node1 and node3");
  });
}, 60_000);

test("a probe too large for the way: what fits passes, what does not is said by the state; a black hole by the probe", async () => {
  const { podMtu = 0 } = await lab.status("node1");
  expect((await trace("pod-a.node1", address("node3/pod-a"), `--size ${podMtu}`)).ok).toBe(true);
  expect((await trace("pod-a.node1", address("node3/pod-a"), `--size ${podMtu + 1}`)).answer).toContain(
    `do not fit eth0 (MTU ${podMtu})`,
  );
  // The router's port to node3 takes less than its bridge says: larger frames vanish without a word.
  await broken("router", "ip link set node3 mtu 1300", "ip link set node3 mtu 1500", async () => {
    const result = await trace("pod-a.node1", address("node3/pod-a"), `--size ${podMtu}`);
    expect([result.ok, result.answer]).toEqual([
      false,
      expect.stringMatching(/was last seen at node[13] eth0 and never came to node[13] eth0/),
    ]);
    expect((await trace("pod-a.node1", address("node3/pod-a"))).ok).toBe(true);
  });
}, 60_000);

test("with the agent of the other node dead, what can be seen is shown and the rest is said to be unknown", async () => {
  await lab.agent("node3", "kill");
  try {
    const result = await trace("pod-a.node1", address("node3/pod-a"));
    expect([result.ok, result.probe.result]).toEqual([true, "answered"]);
    expect(result.request.at(-1)).toMatchObject({ node: "node3", verdict: "unsure" });
  } finally {
    await lab.agent("node3", "start");
    await until(
      async () => (await trace("pod-a.node1", address("node3/pod-a"))).request.at(-1)?.verdict === "passes",
      "node3 answers",
    );
  }
}, 60_000);

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAddress } from "../../src/base/address.ts";
import { openEthtool } from "../../src/kernel/ethtool.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import { AF_INET, MSG_DONTWAIT, openSocket, SOCK_DGRAM, trySend } from "../../src/kernel/socket.ts";
import { openDatastore } from "../../src/store/open.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { found, Patient, told } from "./doctor.fixture.ts";

/** Breaks one thing in a cluster of three nodes, and expects the doctor to say exactly that; then the same with two. */

let patient: Patient;
beforeAll(async () => {
  // node1 and node2 on one wire, node3 behind a router: direct ways and a tunnel.
  const config = { Network: "10.244.0.0/16", Backend: { Type: "vxlan", DirectRouting: true } };
  patient = await Patient.up({ nodes: 3, pods: 2, config });
}, 120_000);
afterAll(() => patient?.[Symbol.asyncDispose]());

interface Fault {
  readonly what: string;
  readonly on: string;
  /** $SUBNET1 to 3: pods' subnets of the nodes; $POD: first pod of `on`, $OTHER: its second; $VETH: the first one's device. */
  readonly harm: string;
  readonly mend: string;
  /** The agent of `on` is killed first: it would mend it within milliseconds. */
  readonly agentDead?: true;
  /** Where the doctor is asked. Default: there, where the fault is. */
  readonly ask?: string;
  readonly flags?: string;
  readonly expected: readonly string[];
  /** In title, evidence and remedy of the finding. */
  readonly says: readonly (string | RegExp)[];
  /** `--fix` mends it. */
  readonly fix?: true;
}

const entry = "set -- $(bridge fdb show dev flannel.1 | grep dst | head -1)";
const neighbour = "set -- $(ip neigh show dev flannel.1 nud permanent | head -1)";
const firewall = (table: string, hook: string, rule: string) =>
  `nft add table ${table}; nft "add chain ${table} f { type filter hook ${hook} priority 10; }"; nft 'add rule ${table} f ${rule}'`;

const faults: readonly Fault[] = [
  {
    what: "forwarding is off for one device",
    on: "node1",
    harm: "sysctl -qw net.ipv4.conf.eth0.forwarding=0",
    mend: "sysctl -qw net.ipv4.conf.eth0.forwarding=1",
    expected: ["node1 forwarding"],
    says: ["net.ipv4.conf.eth0.forwarding = 0", "sysctl -w net.ipv4.conf.eth0.forwarding=1"],
    fix: true,
  },
  {
    what: "forwarding is off",
    on: "node3",
    agentDead: true,
    harm: "sysctl -qw net.ipv4.ip_forward=0",
    mend: "sysctl -qw net.ipv4.ip_forward=1",
    expected: ["node3 agent-away", "node3 forwarding"],
    says: ["net.ipv4.ip_forward = 0"],
    fix: true,
  },
  {
    what: "the reverse path filter drops what comes by another device than the way back",
    on: "node3",
    harm: `ip link add up1 link eth0 type macvlan mode bridge; ip link set up1 up
      ip route add 192.168.1.11/32 via 192.168.2.1 dev up1 onlink
      sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1`,
    mend: "ip link del up1; sysctl -qw net.ipv4.conf.eth0.rp_filter=0",
    expected: ["node3 rp-filter"],
    says: [
      "node1 (192.168.1.11): the way back is 192.168.1.11/32 via 192.168.2.1 dev up1",
      "net.ipv4.conf.eth0.rp_filter=2",
    ],
  },
  {
    what: "a route is missing",
    on: "node3",
    agentDead: true,
    harm: "ip route del $SUBNET1",
    mend: "true",
    expected: ["node3 agent-away", "node3 route"],
    says: [/wanted: \S+ via \S+ dev flannel.1/, "there: none", "start the agent"],
    fix: true,
  },
  {
    what: "a route leads elsewhere",
    on: "node1",
    agentDead: true,
    harm: "ip route replace $SUBNET3 via 192.168.1.1 dev eth0 proto 84",
    mend: "true",
    expected: ["node1 agent-away", "node1 route"],
    says: ["is wrong", "via 192.168.1.1 dev eth0"],
    fix: true,
  },
  {
    what: "somebody's longer prefix takes half of a node's pods",
    on: "node1",
    harm: "ip route add $(echo $SUBNET3 | cut -d/ -f1)/25 via 192.168.1.1 dev eth0",
    mend: "ip route del $(echo $SUBNET3 | cut -d/ -f1)/25",
    expected: ["node1 route"],
    says: ["are sent elsewhere", /taken: 10\.244\.\d+\.0\/25 via 192\.168\.1\.1 dev eth0/],
  },
  {
    what: "somebody's routing rule takes them",
    on: "node1",
    harm: "ip route add blackhole default table 100; ip rule add to $SUBNET3 lookup 100 priority 90",
    mend: "ip rule del priority 90; ip route flush table 100",
    expected: ["node1 route"],
    says: ["are sent elsewhere", "ip rule"],
  },
  {
    what: "the way to a pod of the node is hidden",
    on: "node1",
    harm: "ip rule add to $POD lookup 100 priority 90; ip route add default via 192.168.1.1 table 100",
    mend: "ip rule del priority 90; ip route flush table 100",
    expected: ["node1 route"],
    says: ["the way to pod default/pod-a.node1", "dev eth0 table 100"],
  },
  {
    what: "a forwarding entry is missing",
    on: "node3",
    agentDead: true,
    harm: `${entry}; bridge fdb del $1 dev flannel.1 dst $3`,
    mend: "true",
    expected: ["node3 agent-away", "node3 fdb"],
    says: ["is missing", /wanted: \S+ dst 192\.168\.1\.1[12]/],
    fix: true,
  },
  {
    what: "a forwarding entry is wrong",
    on: "node3",
    agentDead: true,
    harm: `${entry}; bridge fdb replace $1 dev flannel.1 dst 192.168.1.99 self permanent`,
    mend: "true",
    expected: ["node3 agent-away", "node3 fdb"],
    says: ["is wrong", "there: 192.168.1.99"],
    fix: true,
  },
  {
    what: "a neighbour entry is missing",
    on: "node3",
    agentDead: true,
    harm: `${neighbour}; ip neigh del $1 dev flannel.1`,
    mend: "true",
    expected: ["node3 agent-away", "node3 neighbour"],
    says: ["is missing", "there: none"],
    fix: true,
  },
  {
    what: "a neighbour entry is wrong",
    on: "node3",
    agentDead: true,
    harm: `${neighbour}; ip neigh replace $1 lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent`,
    mend: "true",
    expected: ["node3 agent-away", "node3 neighbour"],
    says: ["is wrong", "there: 02:00:00:00:00:99"],
    fix: true,
  },
  {
    what: "the tunnel's Ethernet address is another (VTEP)",
    on: "node3",
    agentDead: true,
    harm: "ip link set flannel.1 address 02:00:00:00:00:42",
    mend: "true",
    expected: ["node3 agent-away", "node3 vtep-mac"],
    says: ["flannel.1 has 02:00:00:00:00:42; the lease says"],
    fix: true,
  },
  {
    what: "the tunnel is gone",
    on: "node3",
    agentDead: true,
    harm: "ip link del flannel.1",
    mend: "true",
    expected: ["node3 agent-away", "node3 tunnel"],
    says: ["no device flannel.1"],
    fix: true,
  },
  {
    what: "the underlay carries less than the tunnel sends",
    on: "node3",
    agentDead: true,
    harm: "ip link set eth0 mtu 1400",
    mend: "ip link set eth0 mtu 1500",
    expected: ["node3 agent-away", "node3 mtu"],
    says: ["flannel.1 MTU 1450 + 50 bytes of headers > eth0 MTU 1400"],
  },
  {
    what: "large packets vanish between the nodes (MTU black hole)",
    on: "router",
    ask: "node1",
    harm: "ip link set node3 mtu 1300; ip link set lan2 mtu 1500",
    mend: "ip link set node3 mtu 1500; ip link set lan2 mtu 1500",
    expected: ["node1 mtu"],
    says: ["large packets between node1 and node3 are lost", /about 12\d\d bytes pass/, "black hole"],
  },
  {
    what: "a pod's address on the node itself",
    on: "node1",
    harm: "ip address add $POD/32 dev eth0",
    mend: "ip address del $POD/32 dev eth0",
    expected: ["node1 address-conflict"],
    says: ["the node itself has", "eth0 has", "ip address del"],
  },
  {
    what: "a pod took another one's address",
    on: "node1/pod-a",
    ask: "node1",
    harm: "ip address add $OTHER/32 dev eth0",
    mend: "ip address del $OTHER/32 dev eth0",
    expected: ["node1 address-conflict"],
    says: ["pod default/pod-a.node1 on node1, which gave it to itself", "delete pod default/pod-a.node1"],
  },
  {
    what: "a link of the node inside the pods' network",
    on: "node1",
    harm: "ip link add vpn0 type veth peer name vpn1; ip address add 10.244.250.1/24 dev vpn0; ip link set vpn0 up; ip link set vpn1 up",
    mend: "ip link del vpn0",
    expected: ["node1 network-overlap"],
    says: ["vpn0 is attached to 10.244.250.0/24, which overlaps the pods' network 10.244.0.0/16"],
  },
  {
    what: "another firewall drops forwarded packets by its policy",
    on: "node1",
    harm: `nft add table ip filter; nft "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"`,
    mend: "nft delete table ip filter",
    expected: ["node1 firewall"],
    says: ["ip filter FORWARD: policy drop", "let it accept 10.244.0.0/16"],
  },
  {
    what: "another firewall drops what comes from one node's pods, by a rule",
    on: "node3",
    harm: firewall("inet corp", "forward", 'ip saddr 10.244.0.0/16 meta l4proto tcp counter drop comment "no tcp"'),
    mend: "nft delete table inet corp",
    expected: ["node3 firewall"],
    says: [/inet corp f: rule handle \d+ "no tcp" drops/, "TCP from pods of node1"],
  },
  {
    what: "another firewall drops the tunnel",
    on: "node3",
    harm: firewall("inet corp", "input", "udp dport 8472 drop"),
    mend: "nft delete table inet corp",
    expected: ["node3 firewall"],
    says: [/inet corp f: rule handle \d+ drops/, "the tunnel from 192.168.1.11", "UDP 8472"],
  },
  {
    what: "the same, asked on another node: the cause is told from there",
    on: "node3",
    ask: "node1",
    harm: firewall("inet corp", "input", "udp dport 8472 drop"),
    mend: "nft delete table inet corp",
    expected: ["node3 firewall"],
    says: [/inet corp f: rule handle \d+ drops/],
  },
  {
    what: "the DNS server does not answer",
    on: "node1",
    harm: "true",
    mend: "true",
    flags: "--dns 203.0.113.10",
    expected: ["node1 dns"],
    says: [
      "the DNS server 203.0.113.10 does not answer pod default/pod-a.node1",
      "twill trace default/pod-a.node1 203.0.113.10:53 --udp",
    ],
  },
  {
    what: "the agent of another node is dead",
    on: "node3",
    agentDead: true,
    ask: "node1",
    harm: "true",
    mend: "true",
    expected: ["node3 agent-away"],
    says: ["the agent of node3 does not answer", "192.168.2.13 answers ping"],
  },
  {
    what: "the cable of another node is out",
    on: "router",
    ask: "node1",
    harm: "ip link set node3 down",
    mend: "ip link set node3 up",
    expected: ["node3 agent-away"],
    says: ["node3 does not answer at all", "192.168.2.13: no answer to ping"],
  },
  {
    what: "something unknown on the way: the hop is named",
    on: "router",
    ask: "node1",
    harm: `nft add table bridge x; nft "add chain bridge x f { type filter hook prerouting priority 0; }"; nft add rule bridge x f udp dport 8472 drop`,
    mend: "nft delete table bridge x",
    expected: ["node1 probe-stopped"],
    says: ["the probe was last seen at node1 eth0 and never came to node3 eth0", "between node1 and node3"],
  },
];

const variables = (node: string): string => {
  const on = node.startsWith("node") ? node.split("/")[0] : "node1";
  return [
    ...[1, 2, 3].map((number) => `SUBNET${number}=${patient.subnet(`node${number}`)}`),
    `POD=${patient.pod(`${on}/pod-a`)}`,
    `OTHER=${patient.pod(`${on}/pod-b`)}`,
  ].join(" ");
};
const run = (target: string, script: string) => patient.lab.on(target, `set -e\n${variables(target)}\n${script}`);

async function withFault(fault: Fault, look: () => Promise<void>): Promise<void> {
  if (fault.agentDead) await patient.lab.agent(fault.on, "kill");
  try {
    await run(fault.on, fault.harm);
    await look();
  } finally {
    await run(fault.on, fault.mend);
    if (fault.agentDead) await patient.lab.agent(fault.on, "start");
    await healthy();
  }
}

/** Nobody has anything to say, and all is as it was. */
async function healthy(): Promise<void> {
  let last = "";
  await until(
    async () => {
      const diagnosis = await patient.doctor("node1", "--all").catch((error: Error) => error.message);
      last = typeof diagnosis === "string" ? diagnosis : told(diagnosis);
      return typeof diagnosis !== "string" && diagnosis.findings.length === 0 && diagnosis.nodes.length === 3;
    },
    () => last,
    120_000,
  );
}

test("a healthy cluster: nothing to say", async () => {
  // What a dead agent is judged by is written a moment after it is known.
  for (const node of ["node1", "node3"]) {
    const cache = patient.lab.disk(node, "var-lib-twill", "cache/nodes.snapshot");
    await until(
      () =>
        existsSync(cache) && ["node1", "node2", "node3"].every((name) => readFileSync(cache, "utf8").includes(name)),
      cache,
      60_000,
    );
  }
  const diagnosis = await patient.doctor("node1", "--all");
  expect([found(diagnosis), diagnosis.nodes, diagnosis.paths]).toEqual([[], ["node1", "node2", "node3"], 6]);
  expect(await patient.lab.on("node1", "twill doctor")).toStartWith("nothing is wrong");
}, 60_000);

for (const fault of faults) {
  test(`${fault.what}: found, with evidence and remedy${fault.fix ? ", and mended" : ""}`, async () => {
    await withFault(fault, async () => {
      const node = fault.ask ?? fault.on;
      const diagnosis = await patient.doctor(node, fault.flags ?? "");
      expect([found(diagnosis), told(diagnosis)]).toEqual([[...fault.expected], told(diagnosis)]);
      const last = fault.expected.at(-1);
      const text = JSON.stringify(
        diagnosis.findings.find(({ node: where, id }) => `${where} ${id}` === last),
      ).replaceAll('\\"', '"');
      for (const words of fault.says) expect(text).toMatch(words);
      if (!fault.fix) return;
      const mended = await patient.doctor(node, "--fix");
      expect([found(mended), told(mended)]).toEqual([fault.expected.slice(0, -1), told(mended)]);
      expect(mended.fixed.length).toBeGreaterThan(0);
    });
  }, 240_000);
}

test("two faults at once, on one node and on two: both are found", async () => {
  const pairs = [
    ["forwarding is off for one device", "another firewall drops the tunnel"],
    ["a link of the node inside the pods' network", "something unknown on the way: the hop is named"],
    ["somebody's longer prefix takes half of a node's pods", "a pod took another one's address"],
  ];
  for (const [first, second] of pairs) {
    const [one, two] = [first, second].map((name) => faults.find(({ what }) => what === name));
    if (one === undefined || two === undefined) throw new Error("no such fault");
    await run(one.on, one.harm);
    await run(two.on, two.harm);
    try {
      const diagnosis = await patient.doctor("node1", "--all");
      const wanted = [...one.expected, ...two.expected];
      expect([wanted.filter((finding) => !found(diagnosis).includes(finding)), told(diagnosis)]).toEqual([
        [],
        told(diagnosis),
      ]);
    } finally {
      await run(two.on, two.mend);
      await run(one.on, one.mend);
    }
    await healthy();
  }
}, 300_000);

test("a stolen lease: another node claims this one's subnet", async () => {
  const store = await openDatastore(patient.lab.datastore);
  try {
    const own = await store.get("nodes", "node1");
    if (own === undefined) throw new Error("node1 has no lease");
    const lease = JSON.parse(new TextDecoder().decode(own.value)) as Record<string, unknown>;
    const thief = JSON.stringify(lease)
      .replaceAll("node1", "thief")
      .replaceAll("192.168.1.11", "192.168.1.77")
      .replace(/"id":"[^"]*"/, '"id":"00000000000000000000000000000000"');
    await store.create("nodes", "thief", new TextEncoder().encode(thief));
    try {
      await until(
        async () => (await patient.lab.status("node1")).nodes.some(({ name }) => name === "thief"),
        "the thief is seen",
      );
      const diagnosis = await patient.doctor("node1");
      expect(found(diagnosis)).toContain("node1 lease-stolen");
      expect(JSON.stringify(diagnosis.findings.find(({ id }) => id === "lease-stolen"))).toContain(
        `thief claims ${patient.subnet("node1")}`,
      );
    } finally {
      const stored = await store.get("nodes", "thief");
      if (stored !== undefined) await store.delete("nodes", "thief", stored.revision);
    }
  } finally {
    await store.close();
  }
  await healthy();
}, 240_000);

test("checksums that a card does not finish: ping passes, TCP does not", async () => {
  // Without offload the sender finishes them itself, so what is changed behind it arrives wrong, as from a broken card.
  const pod = await patient.lab.netns("node1/pod-a");
  const ethtool = openEthtool({ netns: pod });
  const before = ethtool.read("eth0");
  try {
    ethtool.write("eth0", false);
    await patient.lab.on(
      "node1",
      firewall("inet card", "postrouting", "oifname flannel.1 meta l4proto tcp @th,128,16 set 0xdead"),
    );
    const diagnosis = await patient.doctor("node1");
    expect([found(diagnosis), told(diagnosis)]).toEqual([["node1 checksum"], told(diagnosis)]);
    expect(told(diagnosis)).toContain("ethtool -K flannel.1 tx off");
  } finally {
    ethtool.write("eth0", before);
    ethtool.close();
    closeFile(pod);
    await patient.lab.on("node1", "nft delete table inet card");
  }
  await healthy();
}, 240_000);

test("a full table of connections: who opens none hears nobody, and accuses nobody", async () => {
  const node = await patient.lab.netns("node1");
  await patient.lab.on("node1", "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600");
  const most = Number(await patient.lab.on("node1", "sysctl -n net.netfilter.nf_conntrack_max"));
  const count = async () => Number(await patient.lab.on("node1", "sysctl -n net.netfilter.nf_conntrack_count"));
  try {
    // Each port of the other end is one more connection.
    const outside = parseAddress("203.0.113.10");
    for (let socket = 0; socket < 20 && (await count()) < most; socket++) {
      inNetns(node, () => {
        const fd = openSocket(AF_INET, SOCK_DGRAM, 0, { nonBlocking: true });
        for (let port = 1; port < 65_536; port++)
          trySend(fd, Uint8Array.of(0), MSG_DONTWAIT, encodeSockaddr(outside, port));
        closeFile(fd);
      });
    }
    expect(await count()).toBeGreaterThanOrEqual(most * 0.99);
    const diagnosis = await patient.doctor("node1");
    expect([found(diagnosis), told(diagnosis)]).toEqual([["node1 conntrack-full"], told(diagnosis)]);
    expect(told(diagnosis)).toContain("net.netfilter.nf_conntrack_max=");
  } finally {
    closeFile(node);
    await patient.lab.on("node1", "conntrack -F");
  }
  await healthy();
}, 300_000);

/** The agent of node3, run from source beside what the test wants of it, instead of the lab's. */
async function otherAgent(node: string, preload: string, flags: string, look: () => Promise<void>): Promise<void> {
  const file = join(patient.lab.parent, "preload.ts");
  writeFileSync(file, preload);
  await patient.lab.agent(node, "kill");
  const agentProgram = join(import.meta.dir, "agent.fixture.ts");
  const stop = await patient.lab.listen(
    node,
    `${process.execPath} --preload ${file} ${agentProgram} --datastore ${patient.lab.datastore} --node-name ${node} --boot-id-file ${patient.lab.disk(node, "boot-id")} ${flags} >${patient.lab.parent}/other.log 2>&1`,
  );
  try {
    await until(
      async () => (await patient.lab.attempt(node, "twill status")).status === 0,
      () => readFileSync(`${patient.lab.parent}/other.log`, "utf8"),
      60_000,
    );
    await look();
  } finally {
    await stop();
    await patient.lab.agent(node, "start");
    await healthy();
  }
}

const asBuilt = (version: string) => `globalThis.TWILL_VERSION = ${JSON.stringify(version)};`;

test("an agent of another version", async () => {
  await otherAgent("node3", asBuilt("9.9.9"), "--iface eth0", async () => {
    const diagnosis = await patient.doctor("node1");
    expect([found(diagnosis), told(diagnosis)]).toEqual([["node3 version"], told(diagnosis)]);
    expect(told(diagnosis)).toContain("node3: 9.9.9");
  });
}, 240_000);

test("a clock that is far off", async () => {
  const { version } = await patient.lab.status("node1");
  const preload = `${asBuilt(version)} const now = Date.now; Date.now = () => now() + 3_600_000;`;
  await otherAgent("node3", preload, "--iface eth0", async () => {
    const diagnosis = await patient.doctor("node1");
    expect([found(diagnosis), told(diagnosis)]).toEqual([["node3 clock"], told(diagnosis)]);
    expect(told(diagnosis)).toContain("3600 s ahead of node1");
  });
}, 240_000);

test("the wrong interface: the address that a node tells the others is not the way to it", async () => {
  await patient.lab.on(
    "node3",
    "ip link add nat0 type veth peer name nat1; ip address add 10.0.2.15/24 dev nat0; ip link set nat0 up; ip link set nat1 up",
  );
  const { version } = await patient.lab.status("node1");
  try {
    await otherAgent("node3", asBuilt(version), "--iface nat0", async () => {
      const diagnosis = await patient.doctor("node3");
      expect(found(diagnosis)).toContain("node3 wrong-interface");
      expect(told(diagnosis)).toContain("the agent took nat0 for the way to the other nodes, and it is eth0");
      expect(told(diagnosis)).toContain("--iface");
    });
  } finally {
    await patient.lab.on("node3", "ip link del nat0");
  }
}, 240_000);

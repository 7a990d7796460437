import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Address, type Family, familyOf, parseAddress } from "../../src/base/address.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import { trySend } from "../../src/kernel/socket.ts";
import type { PolicyState } from "../../src/model/policy-state.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { rawPacket } from "../conformance/rig/raw-packet.ts";
import { Traffic, type TriedFlow } from "../conformance/rig/traffic.ts";
import type { TestNetns } from "../support/netns.ts";
import { byAddress, Enforcer, routed } from "./enforcer.fixture.ts";
import { stateOf, type Wish } from "./policy-state.fixture.ts";
import { eventually, Wire } from "./wire.fixture.ts";

setDefaultTimeout(60_000);

/** Node 1 enforces; its pods are a, b and c, and d is node 2's. */
const [a, b, c, d] = ["10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.2.2"].map(parseAddress) as [
  Address,
  Address,
  Address,
  Address,
];
const [a6, b6, c6] = ["fd00:10:244:1::2", "fd00:10:244:1::3", "fd00:10:244:1::4"].map(parseAddress) as [
  Address,
  Address,
  Address,
];
const outside = parseAddress("198.51.100.9");
const outside6 = parseAddress("2001:db8::9");

let cluster: BareCluster;
let traffic: Traffic;
let enforcer: Enforcer;
let wire: Wire;
beforeAll(() => {
  cluster = new BareCluster(3);
  traffic = new Traffic(cluster);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("no node");
  enforcer = new Enforcer(node.nft);
  wire = new Wire();
});
afterEach(() => {
  enforcer.off();
  cluster.forgetConnections();
});
afterAll(() => {
  wire.close();
  traffic.close();
  cluster.close();
});

const flow = (
  source: Address,
  destination: Address,
  destinationPort = 80,
  protocol: TriedFlow["protocol"] = "TCP",
): TriedFlow => ({ source, destination, protocol, destinationPort });

/** What arrives of flows that should and of flows that should not. */
function expectFlows(allowed: readonly TriedFlow[], denied: readonly TriedFlow[]): void {
  const arrived = traffic.send([...allowed, ...denied], allowed.length);
  expect(allowed.filter((_, index) => !arrived[index])).toEqual([]);
  expect(denied.filter((_, index) => arrived[allowed.length + index])).toEqual([]);
}

/** Every pod of the node is known, and nobody is isolated, unless the wish says so. */
const known: Wish["addresses"] = Object.fromEntries([a, b, c, a6, b6, c6].map((address) => [address, [0, 0, 0]]));
const wished = (wish: Omit<Wish, "addresses"> & { readonly addresses?: Wish["addresses"] }): PolicyState =>
  stateOf({ ...wish, addresses: { ...known, ...wish.addresses } });

/** From whatever namespace, with whatever source. */
function forge(from: TestNetns, flow: TriedFlow, token: number): void {
  const family: Family = familyOf(flow.source);
  const fd = wire.raw(from, family, 255);
  trySend(fd, rawPacket({ ...flow, sourcePort: 999, token }), 0, encodeSockaddr(flow.destination, 0));
}

test("between pods of one node both ends are judged, in both families and by every protocol", () => {
  // a may send to class 2 port 80 only; b takes port 80 and 81 of class 1.
  const ends = (family: Family) => (family === 4 ? [a, b] : [a6, b6]) as [Address, Address];
  enforcer.enforce(
    wished({
      addresses: { [a]: [1, 0, 10], [b]: [2, 11, 0], [a6]: [1, 0, 10], [b6]: [2, 11, 0] },
      ports: [10, 11].flatMap((group) =>
        [6, 17, 132].flatMap((protocol) => [
          [group, protocol, 80, 80, 1] as const,
          [group, protocol, 81, 81, 2] as const,
        ]),
      ),
      decisions: {
        "10/0/0/0": "deny",
        "10/2/6/1": "allow",
        "10/2/17/1": "allow",
        "10/2/132/1": "allow",
        "11/0/0/0": "deny",
        "11/1/6/1": "allow",
        "11/1/17/1": "allow",
        "11/1/132/1": "allow",
        "11/1/6/2": "allow",
      },
    }),
  );
  for (const family of [4, 6] as const) {
    const [from, to] = ends(family);
    const all = (port: number) => (["TCP", "UDP", "SCTP"] as const).map((protocol) => flow(from, to, port, protocol));
    // Port 81: b would take it, a may not send it. ICMP and GRE: nobody names them.
    expectFlows(all(80), [...all(81), ...all(82), flow(from, to, 0, "ICMP"), flow(from, to, 0, "GRE")]);
  }
  const counts = enforcer.counts();
  expect(counts.get(1)).toBe(2 * (3 + 3 + 2));
  expect([2, 3, 4].map((number) => counts.get(number))).toEqual([2, 2, 2]);
});

test("a row is asked for in the order of DecisionKey, and networks never for an address that has a row", () => {
  enforcer.enforce(
    wished({
      addresses: { [a]: [1, 0, 10], [b]: [2, 0, 0], [c]: [3, 0, 0] },
      networks: [
        ["10.244.0.0", "10.244.255.255", 7],
        ["198.51.100.0", "198.51.100.255", 8],
      ],
      ports: [
        [10, 6, 80, 80, 1],
        [10, 6, 1000, 1999, 2],
        [10, 6, 3000, 3003, 3],
        [10, 1, 8 * 256, 8 * 256 + 255, 1],
      ],
      decisions: {
        "10/0/0/0": "deny",
        // Anything of class 2, but not port 80; any class's port 80 would be allowed.
        "10/2/0/0": "allow",
        "10/2/6/1": "deny",
        "10/0/6/1": "allow",
        // Wide and narrow ranges, the rest of a protocol, ICMP's echo.
        "10/7/6/2": "allow",
        "10/7/6/3": "allow",
        "10/8/6/0": "allow",
        "10/8/1/1": "allow",
        "10/8/6/2": "deny",
      },
    }),
  );
  expectFlows(
    [
      flow(a, b, 81),
      flow(a, b, 0, "ICMP"),
      flow(a, c, 80),
      flow(a, d, 80),
      flow(a, d, 1000),
      flow(a, d, 1999),
      flow(a, d, 3003, "TCP"),
      flow(a, outside, 999),
      flow(a, outside, 0, "ICMP"),
    ],
    [
      flow(a, b, 80),
      // c has a row that says nothing of these, though its network does.
      flow(a, c, 1000),
      flow(a, c, 3000),
      flow(a, d, 2000),
      flow(a, d, 999),
      flow(a, d, 1000, "UDP"),
      flow(a, d, 3004),
      flow(a, outside, 1500),
      // A named port of which no row says anything is not of "the rest of its protocol".
      flow(a, outside, 3001),
      flow(a, outside, 80, "UDP"),
      flow(a, d, 0, "ICMP"),
    ],
  );
});

test("the node reaches its own pods from any of its addresses; whoever borrows one from elsewhere does not", () => {
  enforcer.enforce(wished({ addresses: { [a]: [1, 10, 10], [a6]: [1, 10, 10] }, decisions: { "10/0/0/0": "deny" } }));
  const own = ["192.168.50.1", "203.0.113.1", "10.244.1.0"].map(parseAddress);
  const theirs = ["192.168.50.2", "203.0.113.2", "10.244.2.0"].map(parseAddress);
  expectFlows(
    [...own.map((source) => flow(source, a)), flow(parseAddress("fd00:10:244:1::"), a6)],
    [...theirs.map((source) => flow(source, a)), flow(parseAddress("fd00:10:244:2::"), a6), flow(outside, a)],
  );
  const before = enforcer.counts().get(1) ?? 0;
  for (const [index, source] of own.entries()) forge(cluster.outside, flow(source, a), index);
  // A source that is the node's own is dropped by the kernel's routing; it must never be by luck that nothing arrives.
  expect((enforcer.counts().get(1) ?? 0) - before).toBeGreaterThanOrEqual(0);
});

test("another node counts by all its addresses, its tunnel's too", () => {
  enforcer.enforce(
    wished({
      addresses: { [a]: [1, 10, 0], "192.168.50.2": [5, 0, 0], "10.244.2.0": [5, 0, 0], "203.0.113.2": [5, 0, 0] },
      decisions: { "10/0/0/0": "deny", "10/5/0/0": "allow" },
    }),
  );
  const of = (node: number) => [`192.168.50.${node}`, `10.244.${node}.0`, `203.0.113.${node}`].map(parseAddress);
  expectFlows(
    of(2).map((source) => flow(source, a)),
    of(3).map((source) => flow(source, a)),
  );
});

test("to its own node a pod is judged by the node's class, whichever address it takes", () => {
  const nodes = ["192.168.50.1", "10.244.1.0", "203.0.113.1"].map(parseAddress);
  // Two of its addresses have rows, of class 6; the third has none.
  const rows = { [a]: [1, 0, 10], "192.168.50.1": [6, 0, 0], "10.244.1.0": [6, 0, 0] } as const;
  enforcer.enforce(wished({ addresses: rows, decisions: { "10/0/0/0": "deny" } }));
  expectFlows(
    [],
    nodes.map((address) => flow(a, address)),
  );
  enforcer.enforce(wished({ addresses: rows, decisions: { "10/0/0/0": "deny", "10/6/0/0": "allow" } }));
  expectFlows(
    nodes.slice(0, 2).map((address) => flow(a, address)),
    nodes.slice(2).map((address) => flow(a, address)),
  );
  enforcer.enforce(wished({ addresses: rows, decisions: { "10/0/0/0": "deny", "10/1/0/0": "allow" } }));
  expectFlows(
    nodes.slice(2).map((address) => flow(a, address)),
    nodes.slice(0, 2).map((address) => flow(a, address)),
  );
});

test("a pod sends with its own addresses only, before and beside any policy", () => {
  enforcer.enforce(wished({ decisions: {} }));
  const podA = cluster.owner(a);
  const before = enforcer.dropped("spoofed");
  const forged: readonly TriedFlow[] = [
    flow(b, outside),
    flow(parseAddress("10.244.1.77"), outside),
    flow(d, b, 53, "UDP"),
    flow(outside, b),
    flow(parseAddress("192.168.50.1"), b),
    flow(b6, outside6),
    flow(parseAddress("fd00:10:244:1::77"), b6, 53, "UDP"),
  ];
  for (const [index, each] of forged.entries()) forge(podA, each, index);
  eventually("the forged packets are dropped", () => enforcer.dropped("spoofed") - before === forged.length);
  expectFlows([flow(a, outside), flow(a6, outside6), flow(a, b)], []);
  // The kernel's own check, where an administrator has it: the program leaves IPv4 to it.
  enforcer.enforce(wished({ decisions: {} }), { ...routed, reversePathFiltered: true });
  const counted = enforcer.dropped("spoofed");
  forge(podA, flow(b, outside), 1);
  forge(podA, flow(b6, outside6), 2);
  eventually("IPv6 is checked all the same", () => enforcer.dropped("spoofed") === counted + 1);
  // By addresses alone nobody's interface is looked at.
  enforcer.enforce(wished({ decisions: {} }), byAddress);
  expectFlows([flow(a, outside)], []);
});

test("a pod that policy does not know is cut off from its first microsecond, unless that is wished otherwise", () => {
  const { [c]: _, [c6]: __, ...others } = known;
  const state = stateOf({ addresses: others, decisions: {} });
  enforcer.enforce(state);
  expectFlows(
    [flow(a, b), flow(parseAddress("192.168.50.1"), c)],
    [
      flow(c, a),
      flow(c, outside),
      flow(c6, outside6),
      flow(c, parseAddress("192.168.50.1")),
      flow(a, c),
      flow(outside, c),
      flow(d, c),
    ],
  );
  expect(enforcer.dropped("unknown")).toBe(7);
  // What it says to its neighbour about addresses and groups goes through: nothing else with a hop limit of 1, and not these with more.
  const report = (type: number, hopLimit: number): void => {
    const node6 = parseAddress("fd00:192:168:50::1");
    const packet = rawPacket({ ...flow(c6, node6, 0, "ICMP"), sourcePort: 1, token: 0xbeef });
    packet[7] = hopLimit;
    packet[40] = type;
    trySend(wire.raw(cluster.owner(c), 6, 255), packet, 0, encodeSockaddr(node6, 0));
  };
  for (const [type, hopLimit] of [
    [143, 1],
    [131, 1],
    [135, 255],
  ] as const)
    report(type, hopLimit);
  for (const [type, hopLimit] of [
    [143, 2],
    [128, 1],
    [135, 254],
  ] as const)
    report(type, hopLimit);
  eventually("the last three are dropped", () => enforcer.dropped("unknown") >= 10);
  expect(enforcer.dropped("unknown")).toBe(10);
  enforcer.change({ addresses: new Map([[c, { class: 0, ingress: 0, egress: 0 }]]) });
  expectFlows([flow(c, a), flow(outside, c)], [flow(c6, outside6)]);
  enforcer.enforce(state, { ...routed, unknownPodsAllowed: true });
  expectFlows([flow(c, a), flow(outside, c), flow(c6, outside6)], []);
});

test("an address that passes to another pod has that pod's rows, not the old one's", () => {
  enforcer.enforce(
    wished({
      addresses: { [a]: [1, 0, 0], [b]: [2, 11, 0], [c]: [3, 12, 0] },
      decisions: { "11/0/0/0": "deny", "11/1/0/0": "allow", "12/0/0/0": "deny", "12/4/0/0": "allow" },
    }),
  );
  expectFlows([flow(a, b)], [flow(a, c)]);
  // a's address is given to a pod of class 4, and b's to one of group 12.
  enforcer.change({
    addresses: new Map([
      [a, { class: 4, ingress: 0, egress: 0 }],
      [b, { class: 2, ingress: 12, egress: 0 }],
    ]),
  });
  cluster.forgetConnections();
  expectFlows([flow(a, b), flow(a, c)], [flow(outside, b)]);
});

test("IPv6 works for an isolated pod as far as policy allows: neighbours are found, and nothing else comes in that guise", () => {
  enforcer.enforce(
    wished({
      addresses: { [a6]: [1, 10, 20], [b6]: [2, 11, 21] },
      decisions: {
        "10/0/0/0": "deny",
        "20/0/0/0": "deny",
        "20/2/0/0": "allow",
        "11/0/0/0": "deny",
        "11/1/0/0": "allow",
        "21/0/0/0": "deny",
      },
    }),
  );
  const [node] = cluster.nodes;
  for (const netns of [node?.netns, cluster.owner(a6), cluster.owner(b6)]) {
    netns?.run("ip", "-6", "neighbour", "flush", "all");
  }
  expectFlows([flow(a6, b6)], [flow(b6, a6), flow(outside6, a6), flow(a6, outside6)]);
  // A neighbour solicitation that comes through a router has a hop limit below 255.
  const forged = rawPacket({ ...flow(outside6, b6, 0, "ICMP"), sourcePort: 1, token: 0xbeef });
  forged[40] = 135;
  const before = enforcer.counts().get(4) ?? 0;
  trySend(wire.raw(cluster.outside, 6, 255), forged, 0, encodeSockaddr(b6, 0));
  eventually("it is judged as any packet", () => {
    const dropped = enforcer.dropped("ingress");
    return dropped > 0 && (enforcer.counts().get(4) ?? 0) >= before;
  });
});

test("a packet without a transport header is not judged by ports it does not have", () => {
  enforcer.enforce(
    wished({ addresses: { [a]: [1, 0, 10] }, decisions: { "10/0/0/0": "allow", "10/0/253/0": "deny" } }),
  );
  const header = rawPacket({ ...flow(a, outside, 0, "GRE"), sourcePort: 1, token: 1 }).subarray(0, 22);
  header[9] = 253;
  trySend(wire.raw(cluster.owner(a), 4, 255), header, 0, encodeSockaddr(outside, 0));
  eventually("it is dropped", () => enforcer.dropped("unreadable") === 1);
});

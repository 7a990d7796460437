import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { ECONNREFUSED } from "../../src/kernel/errno.ts";
import type { Connection } from "../../src/objects/conntrack.ts";
import { BareCluster, type BareNode } from "../conformance/rig/bare-cluster.ts";
import type { TestNetns } from "../support/netns.ts";
import { Enforcer, routed } from "./enforcer.fixture.ts";
import { stateOf, type Wish } from "./policy-state.fixture.ts";
import { eventually, Wire } from "./wire.fixture.ts";

setDefaultTimeout(60_000);

const [a, b] = ["10.244.1.2", "10.244.1.3"].map(parseAddress) as [Address, Address];
const [a6, b6] = ["fd00:10:244:1::2", "fd00:10:244:1::3"].map(parseAddress) as [Address, Address];
const outside = parseAddress("198.51.100.9");
const service = parseAddress("10.96.0.1");
const [podA, podB] = [() => cluster.owner(a), () => cluster.owner(b)];

let cluster: BareCluster;
let node: BareNode;
let enforcer: Enforcer;
let wire: Wire;
beforeAll(() => {
  cluster = new BareCluster(2);
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error("no node");
  node = first;
  enforcer = new Enforcer(node.nft);
  wire = new Wire();
});
afterEach(() => {
  enforcer.off();
  cluster.forgetConnections();
});
afterAll(() => {
  wire.close();
  cluster.close();
});

/** a of class 1 and b of class 2, judged as `rows` say. */
const wished = (rows: Readonly<Record<"a" | "b", readonly [number, number]>>, rest: Omit<Wish, "addresses">) =>
  stateOf({
    ...rest,
    addresses: {
      [a]: [1, ...rows.a],
      [a6]: [1, ...rows.a],
      [b]: [2, ...rows.b],
      [b6]: [2, ...rows.b],
    },
  });

let nextPort = 7000;
/** An open connection: both its ends. */
function connection(from: TestNetns, source: Address, to: TestNetns, destination: Address, port = nextPort++) {
  const listener = wire.listen(to, destination, port);
  const client = wire.connect(from, source, destination, port);
  let server: number | undefined;
  eventually("connected", () => {
    server ??= wire.accept(listener);
    return server !== undefined;
  });
  if (server === undefined) throw new Error("not connected");
  return { client, server, port };
}

const carries = (from: number, to: number): boolean => {
  wire.send(from, Uint8Array.of(1));
  return wire.receive(to) > 0;
};

const tracked = (port: number): Connection | undefined =>
  node.conntrack.connections().find(({ original }) => original.destinationPort === port);

test("connections that policy would no longer let begin live on (keep)", () => {
  const groups = { a: [0, 20], b: [11, 0] } as const;
  enforcer.enforce(wished(groups, { decisions: { "20/0/0/0": "allow", "11/0/0/0": "allow" } }));
  const { client, server, port } = connection(podA(), a, podB(), b);
  expect(tracked(port)?.labels).toMatchObject([1, 2, 0, expect.any(Number)]);
  enforcer.enforce(wished(groups, { decisions: { "20/0/0/0": "deny", "11/0/0/0": "deny" } }));
  eventually("still carries", () => carries(client, server));
  eventually("and back", () => carries(server, client));
  expect(tracked(port)?.labels).toMatchObject([1, 2, 0, expect.any(Number)]);
  const second = wire.connect(podA(), a, b, port);
  eventually("a new one is denied", () => (enforcer.counts().get(1) ?? 0) > 0);
  expect(wire.error(second)).toBe(0);
});

test("with recheck, the connections that are marked end, and no others", () => {
  const options = { ...routed, established: "recheck" } as const;
  const groups = { a: [0, 20], b: [11, 0] } as const;
  const decisions = { "20/0/0/0": "allow", "11/0/0/0": "allow" } as const;
  enforcer.enforce(wished(groups, { decisions }), options);
  const cut = connection(podA(), a, podB(), b);
  const other = connection(podA(), a6, podB(), b6);
  eventually("both carry", () => carries(cut.client, cut.server) && carries(other.client, other.server));
  const found = tracked(cut.port);
  if (found === undefined) throw new Error("no connection");
  expect(node.conntrack.setLabels([{ connection: found, value: [0, 0, 1, 0], mask: [0, 0, 1, 0] }])).toEqual(["set"]);
  expect(tracked(cut.port)?.labels).toMatchObject([1, 2, 1, expect.any(Number)]);
  while (wire.receive(cut.server) > 0) {}
  wire.send(cut.client, Uint8Array.of(1));
  wire.send(cut.server, Uint8Array.of(1));
  eventually("both directions are dropped", () => enforcer.dropped("cut") >= 2);
  expect(wire.receive(cut.server)).toBeLessThan(0);
  eventually("the other carries", () => carries(other.client, other.server));
});

test("a datagram stream that nobody answers goes on; its label is set once", () => {
  const groups = { a: [0, 20], b: [11, 0] } as const;
  enforcer.enforce(wished(groups, { decisions: { "20/0/0/0": "allow", "11/0/0/0": "allow" } }));
  const [from, to] = [wire.udp(podA(), a), wire.udp(podB(), b, 5514)];
  const arrives = () => {
    wire.send(from, Uint8Array.of(1), b, 5514);
    return wire.receive(to) > 0;
  };
  eventually("the first arrives", arrives);
  enforcer.enforce(wished(groups, { decisions: { "20/0/0/0": "deny", "11/0/0/0": "deny" } }));
  eventually("so does the next", arrives);
  expect(tracked(5514)?.labels).toMatchObject([1, 2, 0, expect.any(Number)]);
});

test("replies and errors about what was sent come back to a pod that takes nothing else", () => {
  // a may send and takes nothing; b takes anything and may not send.
  enforcer.enforce(
    wished(
      { a: [10, 20], b: [11, 21] },
      {
        decisions: { "10/0/0/0": "deny", "20/0/0/0": "allow", "11/0/0/0": "allow", "21/0/0/0": "deny" },
      },
    ),
  );
  for (const [from, to] of [
    [a, b],
    [a6, b6],
  ] as const) {
    const { client, server } = connection(podA(), from, podB(), to);
    eventually("there and back", () => carries(client, server) && carries(server, client));
    const socket = wire.udp(podA(), from);
    eventually("port unreachable", () => {
      wire.send(socket, Uint8Array.of(1), to, 1);
      // An unconnected socket is told only when it asks for it; a connected one is.
      const asking = wire.connect(podA(), from, to, 1);
      return wire.error(asking) === ECONNREFUSED;
    });
  }
});

test("'fragmentation needed' from a router on the way reaches the sender; about a connection that is none it does not", () => {
  enforcer.enforce(wished({ a: [10, 20], b: [0, 0] }, { decisions: { "10/0/0/0": "deny", "20/0/0/0": "allow" } }));
  // Somebody listens there, so that no other error comes.
  wire.udp(cluster.outside, outside, 9);
  const socket = wire.udp(podA(), a, 4567);
  const seen = wire.raw(podA(), 4, 1);
  wire.send(socket, Uint8Array.of(1), outside, 9);
  eventually("tracked", () => tracked(9) !== undefined);
  const router = wire.raw(cluster.outside, 4, 1);
  const tooBig = (port: number) => wire.send(router, fragmentationNeeded(a, port, outside, 9), a);
  tooBig(4568);
  eventually("the false one is denied", () => (enforcer.counts().get(1) ?? 0) > 0);
  expect(wire.receive(seen)).toBeLessThan(0);
  tooBig(4567);
  eventually("the true one arrives", () => wire.receive(seen) > 0);
});

/** RFC 1191: type 3, code 4, the next hop's MTU, then the datagram's header and its first eight bytes. */
function fragmentationNeeded(source: Address, sourcePort: number, destination: Address, port: number): Uint8Array {
  const message = new Uint8Array(36);
  const view = new DataView(message.buffer);
  message.set([3, 4, 0, 0, 0, 0, 1300 >> 8, 1300 & 255]);
  message.set([0x45, 0, 0, 29, 0, 0, 0x40, 0, 63, 17, 0, 0], 8);
  for (const [at, address] of [
    [20, source],
    [24, destination],
  ] as const)
    message.set(address.split(".").map(Number), at);
  view.setUint16(18, checksum(message.subarray(8, 28)));
  view.setUint16(28, sourcePort);
  view.setUint16(30, port);
  view.setUint16(32, 9);
  view.setUint16(2, checksum(message));
  return message;
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) sum += index % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

test("policy sees what is behind a Service, and the client's own address; a pod reaches itself through it whatever policy says", () => {
  const { netns } = node;
  netns.run(
    "nft",
    `add table ip kube
    add chain ip kube services { type nat hook prerouting priority dstnat; }
    add rule ip kube services ip daddr ${service} tcp dport 80 dnat to ${a}:8080
    add chain ip kube outgoing { type nat hook postrouting priority srcnat; }
    add rule ip kube outgoing ip daddr ${a} masquerade`,
  );
  try {
    // b may send to port 8080, not 80; a takes port 8080 of b's class and nothing of the node's.
    enforcer.enforce(
      wished(
        { a: [10, 20], b: [0, 21] },
        {
          ports: [
            [10, 6, 8080, 8080, 1],
            [21, 6, 8080, 8080, 1],
          ],
          decisions: {
            "10/0/0/0": "deny",
            "10/2/6/1": "allow",
            "20/0/0/0": "deny",
            "21/0/0/0": "deny",
            "21/1/6/1": "allow",
          },
        },
      ),
    );
    const listener = wire.listen(podA(), a, 8080);
    for (const [name, pod, source] of [
      ["b", podB(), b],
      ["a", podA(), a],
    ] as const) {
      const client = wire.connect(pod, source, service, 80);
      let server: number | undefined;
      eventually(`${name} reaches a through the Service`, () => {
        server ??= wire.accept(listener);
        return server !== undefined;
      });
      eventually("and is answered", () => carries(server ?? -1, client));
    }
    enforcer.change({ decisions: new Map([["10/2/6/1", 1]]) });
    wire.connect(podB(), b, service, 80);
    eventually("b no longer does", () => (enforcer.counts().get(1) ?? 0) > 0);
    expect(wire.accept(listener)).toBeUndefined();
  } finally {
    netns.run("nft", "delete table ip kube");
  }
});

test("a datagram in fragments is judged as a whole", () => {
  enforcer.enforce(
    wished(
      { a: [0, 20], b: [0, 0] },
      {
        ports: [[20, 17, 5000, 5000, 1]],
        decisions: { "20/0/0/0": "deny", "20/0/17/1": "allow" },
      },
    ),
  );
  const [allowed, denied] = [5000, 5001].map((port) => wire.udp(podB(), b, port)) as [number, number];
  const from = wire.udp(podA(), a);
  wire.send(from, new Uint8Array(4000), b, 5001);
  wire.send(from, new Uint8Array(4000), b, 5000);
  eventually("it arrives whole", () => wire.receive(allowed) === 4000);
  expect(enforcer.counts().get(1)).toBe(1);
  expect(wire.receive(denied)).toBeLessThan(0);
});

test("whoever is denied is told so, where that is wished", () => {
  enforcer.enforce(wished({ a: [0, 0], b: [11, 0] }, { decisions: { "11/0/0/0": "deny" } }), {
    ...routed,
    deny: "reject",
  });
  for (const [from, to] of [
    [a, b],
    [a6, b6],
  ] as const) {
    const client = wire.connect(podA(), from, to, 80);
    eventually("refused", () => wire.error(client) === ECONNREFUSED);
  }
});

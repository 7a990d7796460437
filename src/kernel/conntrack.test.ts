import { describe, expect, onTestFinished, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { testNetns } from "../../test/support/netns.ts";
import { parseAddress } from "../base/address.ts";
import type { Connection } from "../objects/conntrack.ts";
import { connectionStatus } from "../objects/conntrack.ts";
import { hostData, labelData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import type { Conntrack } from "./conntrack.ts";
import { openConntrack } from "./conntrack-socket.ts";
import { FakeConntrack } from "./fake-conntrack.ts";
import { closeFile } from "./file.ts";
import { openNft } from "./nft-socket.ts";
import { AF_INET, bindSocket, listenSocket, openSocket, SOCK_STREAM } from "./socket.ts";

/** What Conntrack promises: five connections over lo, TCP, UDP and ICMP, two of them IPv6, the UDP ones with marks. */
const machines: Readonly<Record<string, () => Conntrack>> = {
  kernel: () => {
    const netns = testNetns();
    track(netns.fd);
    netns.enter(() => {
      writeFileSync("/proc/sys/net/netfilter/nf_conntrack_acct", "1");
      writeFileSync("/proc/sys/net/netfilter/nf_conntrack_timestamp", "1");
    });
    netns.run("ping", "-c1", "-W2", "127.0.0.1");
    netns.run("ping", "-c1", "-W2", "::1");
    netns.run("bash", "-c", "echo x > /dev/udp/127.0.0.1/5000; echo x > /dev/udp/::1/5000");
    // Accepted by the backlog; the far end never closes.
    const server = netns.enter(() => openSocket(AF_INET, SOCK_STREAM, 0));
    onTestFinished(() => closeFile(server));
    bindSocket(server, Uint8Array.of(AF_INET, 0, 5001 >> 8, 5001 & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0));
    listenSocket(server, 1);
    netns.run("bash", "-c", "echo x > /dev/tcp/127.0.0.1/5001");
    const conntrack = openConntrack({ netns: netns.fd });
    onTestFinished(() => conntrack.close());
    return conntrack;
  },
  fake: () => {
    const fake = new FakeConntrack();
    fake.table.push(...sample);
    return fake;
  },
};

/** Connections over lo are tracked only where a rule asks for it: marks and labels are set on the way. */
function track(netns: number): void {
  const nft = openNft({ netns });
  onTestFinished(() => nft.close());
  const at = { family: "inet", table: "t" } as const;
  const udp: NftExpression[] = [
    { type: "meta", key: "l4proto", to: 0 },
    { type: "cmp", from: 0, op: "eq", value: "11" as ReturnType<typeof hostData> },
  ];
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "t" } },
    {
      op: "chain.add",
      chain: { ...at, name: "c", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } },
    },
    {
      op: "rule.add",
      rule: {
        ...at,
        chain: "c",
        expressions: [
          ...udp,
          { type: "immediate", to: 0, value: hostData(0x107) },
          { type: "ct.set", key: "mark", from: 0 },
          { type: "immediate", to: 0, value: labelData([1, 40]) },
          { type: "ct.set", key: "label", from: 0 },
        ],
      },
    },
  ]);
}

const loopback = { 4: parseAddress("127.0.0.1"), 6: parseAddress("::1") } as const;
function connection(family: 4 | 6, protocol: number, more: Partial<Connection> = {}): Connection {
  const ends = { source: loopback[family], destination: loopback[family], protocol };
  const ports = protocol === 6 || protocol === 17;
  return {
    family,
    original: {
      ...ends,
      ...(ports
        ? { sourcePort: 40_000, destinationPort: protocol === 6 ? 5001 : 5000 }
        : { icmp: { id: 1, type: 8, code: 0 } }),
    },
    reply: {
      ...ends,
      ...(ports
        ? { sourcePort: protocol === 6 ? 5001 : 5000, destinationPort: 40_000 }
        : { icmp: { id: 1, type: 0, code: 0 } }),
    },
    status: connectionStatus.confirmed,
    id: family * 100 + protocol,
    ...more,
  };
}
const sample = [
  connection(4, 1),
  connection(6, 58),
  connection(4, 17, { mark: 0x107, labels: [2, 256, 0, 0] }),
  connection(6, 17, { mark: 0x107, labels: [2, 256, 0, 0] }),
  connection(4, 6),
];

describe.each(Object.entries(machines))("%s", (_, machine) => {
  test("connections by family and mark", () => {
    const conntrack = machine();
    const kinds = (found: readonly Connection[]) =>
      found.map(({ family, original }) => `${family} ${original.protocol}`).toSorted();
    expect(kinds(conntrack.connections())).toEqual(["4 1", "4 17", "4 6", "6 17", "6 58"]);
    expect(kinds(conntrack.connections({ family: 6 }))).toEqual(["6 17", "6 58"]);
    expect(kinds(conntrack.connections({ mark: { value: 7, mask: 0xff } }))).toEqual(["4 17", "6 17"]);
    expect(kinds(conntrack.connections({ mark: { value: 9, mask: 0xff } }))).toEqual([]);
  });

  test("one connection is found, and deleted once", () => {
    const conntrack = machine();
    const found = conntrack.connections({ family: 4 }).find(({ original }) => original.destinationPort === 5000);
    if (found === undefined) throw new Error("not tracked");
    expect(conntrack.connection(found.original)).toMatchObject({ original: found.original, reply: found.reply });
    expect(conntrack.delete({ ...found, id: (found.id ?? 0) + 1 })).toBe(false);
    expect(conntrack.delete(found)).toBe(true);
    expect(conntrack.delete(found)).toBe(false);
    expect(conntrack.connection(found.original)).toBeUndefined();
    expect(conntrack.counters.deleted).toBe(1);
  });

  test("by predicate, and all of a family", () => {
    const conntrack = machine();
    expect(conntrack.deleteWhere(({ original }) => original.protocol === 17)).toBe(2);
    expect(conntrack.deleteWhere(() => true, { family: 6 })).toBe(1);
    expect(conntrack.connections().every(({ family }) => family === 4)).toBe(true);
    expect(conntrack.deleteWhere(() => true)).toBe(2);
    // A late segment makes the kernel take up the TCP connection again.
    expect(conntrack.connections().filter(({ original }) => original.protocol !== 6)).toEqual([]);
  });
});

describe.each(Object.entries(machines))("labels: %s", (_, machine) => {
  const cut = { value: [0, 0, 1, 0], mask: [0, 0, 1, 0] } as const;

  test("bits of the mask change, the others stay", () => {
    const conntrack = machine();
    const udp = conntrack.connections().filter(({ original }) => original.protocol === 17);
    expect(conntrack.setLabels(udp.map((connection) => ({ connection, ...cut })))).toEqual(["set", "set"]);
    const labels = () => udp.map(({ original }) => conntrack.connection(original)?.labels);
    expect(labels()).toEqual([
      [2, 256, 1, 0],
      [2, 256, 1, 0],
    ]);
    // Bits beyond the mask are not turned over.
    const more = { value: [0xffff_ffff, 0, 0, 7], mask: [0, 0, 1, 5] } as const;
    conntrack.setLabels(udp.map((connection) => ({ connection, ...more })));
    expect(labels()).toEqual([
      [2, 256, 0, 5],
      [2, 256, 0, 5],
    ]);
    expect(conntrack.counters.labelled).toBe(4);
  });

  test("one that has gone is told", () => {
    const conntrack = machine();
    const [udp] = conntrack.connections().filter(({ original }) => original.protocol === 17);
    if (udp === undefined) throw new Error("not tracked");
    conntrack.delete(udp);
    expect(conntrack.setLabels([{ connection: udp, ...cut }])).toEqual(["gone"]);
    expect(conntrack.setLabels([])).toEqual([]);
    expect(conntrack.counters.labelled).toBe(0);
  });
});

test("a connection from before the first rule with labels has no room for one", () => {
  const netns = testNetns();
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  const at = { family: "inet", table: "t" } as const;
  // Tracked, and no word of labels.
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "t" } },
    {
      op: "chain.add",
      chain: { ...at, name: "c", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } },
    },
    { op: "rule.add", rule: { ...at, chain: "c", expressions: [{ type: "ct", key: "state", to: 0 }] } },
  ]);
  netns.run("bash", "-c", "echo x > /dev/udp/127.0.0.1/5000");
  const conntrack = openConntrack({ netns: netns.fd });
  onTestFinished(() => conntrack.close());
  const [connection] = conntrack.connections({ family: 4 });
  if (connection === undefined) throw new Error("not tracked");
  const labelled = { value: [0, 0, 1, 0], mask: [0, 0, 1, 0] } as const;
  expect(conntrack.setLabels([{ connection, ...labelled }])).toEqual(["no-room"]);
});

test("what the kernel tells of a connection: NAT-free tuples, counters, times, mark, labels, TCP state", () => {
  const conntrack = machines.kernel?.();
  const all = conntrack?.connections() ?? [];
  const udp = all.find(({ family, original }) => family === 4 && original.protocol === 17);
  expect(udp).toMatchObject({ mark: 0x107, labels: [2, 256, 0, 0] });
  expect(udp?.reply).toEqual({
    ...udp?.original,
    source: loopback[4],
    destination: loopback[4],
    protocol: 17,
    sourcePort: 5000,
    destinationPort: udp?.original.sourcePort ?? 0,
  });
  expect(udp?.counters?.original).toEqual({ packets: 1n, bytes: 30n });
  expect(Number((udp?.start ?? 0n) / 1_000_000n)).toBeWithin(Date.now() - 60_000, Date.now() + 60_000);
  const icmp = all.find(({ original }) => original.protocol === 58);
  expect(icmp?.original.icmp).toMatchObject({ type: 128, code: 0 });
  expect(icmp?.reply.icmp).toMatchObject({ type: 129, code: 0 });
  const tcp = all.find(({ original }) => original.protocol === 6);
  expect(tcp?.state).toBeGreaterThanOrEqual(3); // TCP_CONNTRACK_ESTABLISHED, FIN_WAIT, CLOSE_WAIT
  expect(tcp?.timeout).toBeGreaterThan(0);
  expect((tcp?.status ?? 0) & connectionStatus.assured).not.toBe(0);
});

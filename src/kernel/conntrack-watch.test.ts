import { afterAll, expect, onTestFinished, test } from "bun:test";
import type { ConnectionEvent } from "../objects/conntrack.ts";
import { labelData, portData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { openConntrack } from "./conntrack-socket.ts";
import { type ConntrackWatchOptions, watchConntrack } from "./conntrack-watch.ts";
import { flood, ruleOnOutput, until } from "./netlink-events.fixture.ts";
import { ThreadPoller } from "./poller.ts";

const poller = new ThreadPoller();
afterAll(() => poller.close());

const options: ConntrackWatchOptions = {
  events: ["new", "destroy"],
  pace: { perSecond: 1_000_000, burst: 1_000_000 },
  receiveBuffer: 16 << 20,
};

const labels: readonly NftExpression[] = [
  { type: "immediate", to: 0, value: labelData([1, 40]) },
  { type: "ct.set", key: "label", from: 0 },
];
/** UDP to port 2000 gets a label; everything is tracked. */
const labelled = () =>
  ruleOnOutput([
    { type: "ct", key: "state", to: 0 },
    { type: "payload", to: 0, base: "transport", offset: 2, length: 2 },
    { type: "cmp", from: 0, op: "eq", value: portData(2000) },
    ...labels,
  ]);

function listen(netns: number, more: Partial<ConntrackWatchOptions> = {}) {
  const events: ConnectionEvent[] = [];
  const watch = watchConntrack(poller, { ...options, netns, ...more }, (event) => events.push(event));
  onTestFinished(() => watch.close());
  return { events, watch };
}

function forget(netns: number): void {
  const conntrack = openConntrack({ netns });
  conntrack.deleteWhere(() => true);
  conntrack.close();
}

test("a connection's begin with its label, its end with its counters", async () => {
  const netns = labelled();
  const { events, watch } = listen(netns.fd);
  netns.run("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1");
  flood(netns, 3, 1);
  await until(() => events.length === 1);
  expect(events[0]).toMatchObject({
    type: "new",
    connection: { labels: [2, 256, 0, 0], original: { protocol: 17, destinationPort: 2000 } },
  });
  forget(netns.fd);
  await until(() => events.length === 2);
  expect(events[1]).toMatchObject({
    type: "destroy",
    connection: { id: events[0]?.connection.id ?? -1, counters: { original: { packets: 3n, bytes: 108n } } },
  });
  expect(watch.counters).toEqual({ received: 2, lost: 0, corrupt: 0 });
});

test("connections without a label begin unheard", async () => {
  const netns = labelled();
  const { events } = listen(netns.fd, { labelled: true });
  flood(netns, 10, 10);
  await until(() => events.length > 0);
  forget(netns.fd);
  // Ends carry no label, so all of them come, behind every begin.
  await until(() => events.filter(({ type }) => type === "destroy").length === 10);
  const begun = events.filter(({ type }) => type === "new").map(({ connection }) => connection.original);
  expect(begun.map(({ destinationPort }) => destinationPort)).toEqual([2000]);
});

test("only the ends that are wanted are decoded and told", async () => {
  const netns = labelled();
  const wanted = new Set<number>();
  const { events, watch } = listen(netns.fd, { wantsEnd: (id) => wanted.has(id) });
  flood(netns, 10, 10);
  await until(() => events.length === 10);
  for (const { connection } of events.slice(0, 3)) if (connection.id !== undefined) wanted.add(connection.id);
  forget(netns.fd);
  await until(() => watch.counters.received === 20);
  const ends = events.filter(({ type }) => type === "destroy").map(({ connection }) => connection.id ?? 0);
  expect(new Set(ends)).toEqual(wanted);
});

test("what finds no room is counted, and listening goes on", async () => {
  const netns = ruleOnOutput(labels);
  const { events, watch } = listen(netns.fd, { receiveBuffer: 32 * 1024, events: ["new"], labelled: true });
  flood(netns, 2000, 2000);
  await until(() => watch.counters.received + watch.counters.lost === 2000);
  expect(watch.counters.lost).toBeGreaterThan(0);
  const before = events.length;
  await until(() => {
    forget(netns.fd);
    flood(netns, 1, 1);
    return events.length > before;
  });
  watch.close();
  expect(watch.counters.corrupt).toBe(0);
});

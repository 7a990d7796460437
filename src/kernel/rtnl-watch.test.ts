import { afterAll, expect, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { parseAddress } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import { ThreadPoller } from "./poller.ts";
import type { RtnlEvent } from "./rtnl.ts";
import { watchRtnl } from "./rtnl-watch.ts";
import { kernelSysctls } from "./sysctl.ts";

const poller = new ThreadPoller();
afterAll(() => poller.close());

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 1000 && !condition(); round++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

test("changes of another namespace arrive in order, with what changed", async () => {
  const netns = testNetns();
  const events: RtnlEvent[] = [];
  const watch = watchRtnl(
    poller,
    { groups: ["link", "address", "route", "rule", "neighbour"], netns: netns.fd },
    (event) => events.push(event),
  );
  netns.run("ip", "link", "add", "br0", "type", "bridge");
  netns.run("ip", "link", "set", "br0", "up");
  const index = netns.indexOf("br0");
  netns.run("ip", "addr", "add", "10.1.0.1/24", "dev", "br0");
  netns.run("ip", "route", "add", "10.2.0.0/24", "via", "10.1.0.9", "proto", "84");
  netns.run("ip", "rule", "add", "from", "10.3.0.0/16", "table", "77");
  netns.run("ip", "neigh", "add", "10.1.0.9", "lladdr", "02:00:00:00:00:09", "dev", "br0");
  netns.run("bridge", "fdb", "add", "02:00:00:00:00:08", "dev", "br0", "self", "local");
  netns.run("ip", "link", "del", "br0");
  await until(() => events.some((event) => event.type === "link" && event.change === "delete"));
  watch.close();
  const first = (type: RtnlEvent["type"], test: (event: never) => boolean = () => true) =>
    events.find((event) => event.type === type && test(event as never));
  // A bridge announces its own forwarding entry before itself.
  expect(first("link")).toMatchObject({
    type: "link",
    change: "new",
    link: { index, name: "br0", kind: { type: "bridge" } },
  });
  expect(first("address")).toMatchObject({ change: "new", address: { address: parseAddress("10.1.0.1"), length: 24 } });
  const ours = (event: RtnlEvent & { type: "route" }) => event.route.protocol === 84;
  expect(first("route", ours)).toMatchObject({
    change: "new",
    route: { destination: parsePrefix("10.2.0.0/24"), gateway: parseAddress("10.1.0.9"), device: index },
  });
  expect(first("rule")).toMatchObject({ change: "new", rule: { source: parsePrefix("10.3.0.0/16"), table: 77 } });
  const nine = (event: RtnlEvent & { type: "neighbour" }) => event.neighbour.address === parseAddress("10.1.0.9");
  expect(first("neighbour", nine)).toMatchObject({ change: "new", neighbour: { state: "permanent" } });
  const eight = (event: RtnlEvent & { type: "fdb" }) => event.entry.mac === parseMac("02:00:00:00:00:08");
  expect(first("fdb", eight)).toMatchObject({ change: "new" });
});

test("a full receive buffer is told as an overrun, and watching goes on", async () => {
  const netns = testNetns();
  netns.rtnl.do({ op: "link.add", spec: { name: "br0", kind: { type: "bridge" } } });
  const index = netns.indexOf("br0");
  const events: RtnlEvent[] = [];
  const watch = watchRtnl(poller, { groups: ["address"], netns: netns.fd, receiveBuffer: 4096 }, (event) =>
    events.push(event),
  );
  const address = (number: number) => ({
    op: "address.add" as const,
    address: { device: index, address: parseAddress(`10.0.1.${number}`), length: 32, scope: "universe" as const },
  });
  // All in one turn of the event loop, so that nobody reads meanwhile.
  netns.rtnl.apply(Array.from({ length: 200 }, (_, number) => address(number)));
  await until(() => events.some((event) => event.type === "overrun"));
  netns.rtnl.do(address(201));
  const last = parseAddress("10.0.1.201");
  await until(() => events.some((event) => event.type === "address" && event.address.address === last));
  watch.close();
});

test("forwarding and rp_filter are announced, of all and of a device", async () => {
  const netns = testNetns();
  netns.run("ip", "link", "add", "br0", "type", "bridge");
  const events: RtnlEvent[] = [];
  const watch = watchRtnl(poller, { groups: ["setting"], netns: netns.fd }, (event) => events.push(event));
  const sysctls = kernelSysctls(netns.fd);
  const rpFilter = ["ipv4", "conf", "br0", "rp_filter"];
  sysctls.write(["ipv4", "ip_forward"], sysctls.read(["ipv4", "ip_forward"]) === "1" ? "0" : "1");
  sysctls.write(rpFilter, sysctls.read(rpFilter) === "2" ? "0" : "2");
  const device = netns.indexOf("br0");
  await until(() => [undefined, device].every((each) => events.some((e) => e.type === "setting" && e.device === each)));
  watch.close();
});

test("after close nothing is delivered", async () => {
  const netns = testNetns();
  let calls = 0;
  const watch = watchRtnl(poller, { groups: ["link"], netns: netns.fd }, () => calls++);
  netns.rtnl.do({ op: "link.add", spec: { name: "br0", kind: { type: "bridge" } } });
  watch.close();
  await Bun.sleep(50);
  expect(calls).toBe(0);
});

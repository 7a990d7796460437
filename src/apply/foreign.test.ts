import { expect, test } from "bun:test";
import { parsePrefix } from "../base/prefix.ts";
import { desiredFor, type Node, node, picture, tunnel, tunnel6 } from "./reconciler.fixture.ts";

const vxlan = (subject: Node, name: string, ...more: readonly string[]) =>
  subject.netns.run(
    ...["ip", "link", "add", name, "type", "vxlan", "id", "1", "local", "192.168.0.1", "dev", "eth0"],
    ...more,
  );
const like = ["dstport", "8472", "nolearning", "noudpcsum"];

test("a foreign device of our name and nature is adopted, with what is on it, and not made anew", () => {
  const subject = node();
  vxlan(subject, "flannel.1", ...like);
  const index = subject.netns.indexOf("flannel.1");
  subject.netns.run("ip", "link", "set", "flannel.1", "up");
  subject.netns.run("ip", "address", "add", "10.244.9.0/32", "dev", "flannel.1");
  subject.netns.run(
    ...["ip", "neigh", "add", "10.244.9.0", "lladdr", "0e:00:00:00:00:09", "dev", "flannel.1", "nud", "permanent"],
  );
  subject.netns.run("bridge", "fdb", "add", "0e:00:00:00:00:09", "dev", "flannel.1", "dst", "172.16.0.9");
  subject.netns.run("ip", "route", "add", "10.244.1.0/24", "via", "10.244.1.0", "dev", "flannel.1", "onlink");
  subject.reconciler.setDesired(desiredFor([1]));
  expect(subject.settle().problems).toEqual([]);
  expect(subject.netns.indexOf("flannel.1")).toBe(index);

  const fresh = node();
  fresh.reconciler.setDesired(desiredFor([1]));
  fresh.settle();
  expect(picture(subject)).toEqual(picture(fresh));
  expect(subject.settle().writes).toEqual({});
});

test("a foreign device of our name and another nature is left alone, named, and what it is on waits", () => {
  const subject = node();
  vxlan(subject, "flannel.1", "dstport", "4789", "nolearning", "noudpcsum");
  subject.netns.run("ip", "link", "set", "flannel.1", "up");
  subject.netns.run("ip", "address", "add", "10.9.9.9/32", "dev", "flannel.1");
  const before = subject.netns.run("ip", "address", "show", "dev", "flannel.1", "scope", "global");
  subject.reconciler.setDesired(desiredFor([1], [tunnel()]));
  const report = subject.settle();
  expect(report.problems.map((problem) => problem.message)).toEqual([
    "device flannel.1 failed: a device of that name is there already and was not made by Twill: its port is 4789, not 8472",
  ]);
  expect(report.waiting).toBe(4);
  expect(subject.netns.run("ip", "address", "show", "dev", "flannel.1", "scope", "global")).toBe(before);

  subject.netns.run("ip", "link", "del", "flannel.1");
  expect(subject.settle().problems).toEqual([]);
  expect(picture(subject).join("\n")).toContain("dstport 8472");
});

test("a device that holds our VNI and port under another name is named", async () => {
  const subject = node();
  vxlan(subject, "other0", ...like);
  subject.reconciler.setDesired(desiredFor([1], [tunnel(), tunnel6()]));
  const report = subject.settle();
  expect(report.problems.map((problem) => problem.message)).toEqual([
    "device flannel.1 failed: the device other0 uses VNI 1 on port 8472 already",
  ]);
  // IPv6 is another socket and stands on its own.
  expect(picture(subject).some((line) => line.includes("flannel-v6.1"))).toBe(true);
  subject.netns.run("ip", "link", "del", "other0");
  await subject.clock.advance(1000);
  expect(subject.settle().problems).toEqual([]);
});

test("a foreign route in our place is named and kept; ours comes when it goes", () => {
  const subject = node();
  const foreign = ["10.244.1.0/24", "via", "192.168.0.77"];
  subject.netns.run("ip", "route", "add", ...foreign);
  subject.netns.run("ip", "-6", "route", "add", "fd00:0:0:1::/64", "via", "fd01::77");
  subject.reconciler.setDesired(desiredFor([1, 2]));
  const report = subject.settle();
  expect(report.problems.map((problem) => problem.message).sort()).toEqual([
    "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 failed: a route of somebody else is in its place: 10.244.1.0/24 via 192.168.0.77 dev eth0 proto boot",
    "route fd00:0:0:1::/64 via fd00:0:0:1:: dev flannel-v6.1 failed: a route of somebody else is in its place: fd00:0:0:1::/64 via fd01::77 dev eth0 proto boot",
  ]);
  expect(subject.settleWithoutNews().writes).toEqual({});
  expect(subject.netns.run("ip", "route", "show", "10.244.1.0/24")).toContain("via 192.168.0.77");
  subject.netns.run("ip", "route", "del", ...foreign);
  subject.netns.run("ip", "-6", "route", "del", "fd00:0:0:1::/64", "via", "fd01::77");
  expect(subject.settle().problems).toEqual([]);
  expect(subject.netns.run("ip", "route", "show", "10.244.1.0/24")).toContain("dev flannel.1 proto 84 onlink");
});

test("an IPv6 route that covers the gateways leads elsewhere: ours are made all the same", () => {
  const subject = node();
  subject.netns.run("ip", "-6", "route", "add", "fd00::/48", "via", "fd01::77");
  subject.reconciler.setDesired(desiredFor([1, 2]));
  expect(subject.settle().problems).toEqual([]);
  const routes = subject.netns.run("ip", "-6", "route", "show", "proto", "84");
  expect(routes).toContain("fd00:0:0:1::/64 via fd00:0:0:1:: dev flannel-v6.1");
  expect(routes).not.toMatch(/^fd00:0:0:1:: /m);
  expect(subject.settle().writes).toEqual({});
});

test("what is not ours is not touched: other routes, other devices, other protocols, dynamic neighbours", () => {
  const subject = node();
  const { run } = { run: (...command: string[]) => subject.netns.run(...command) };
  run("ip", "route", "add", "10.50.0.0/16", "via", "192.168.0.77");
  run("ip", "route", "add", "10.244.77.0/24", "via", "192.168.0.77", "proto", "85");
  run("ip", "route", "add", "10.244.78.0/24", "via", "192.168.0.77", "proto", "84", "table", "77");
  run("ip", "neigh", "add", "192.168.0.77", "lladdr", "02:00:00:00:00:77", "dev", "eth0", "nud", "permanent");
  run("ip", "link", "add", "twl0", "type", "veth", "peer", "name", "twl1");
  run("ip", "link", "set", "twl0", "alias", "twill");
  run("ip", "link", "add", "other0", "type", "vxlan", "id", "5", "dstport", "4789", "local", "192.168.0.1");
  run("bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "other0", "dst", "192.168.0.99");
  const foreign = () => [
    run("ip", "-o", "link", "show", "other0"),
    run("ip", "-o", "link", "show", "twl0"),
    run("ip", "route", "show", "proto", "85"),
    run("ip", "route", "show", "table", "77"),
    run("ip", "route", "show", "10.50.0.0/16"),
    run("ip", "neigh", "show", "dev", "eth0", "nud", "permanent"),
    run("bridge", "fdb", "show", "dev", "other0"),
  ];
  const before = foreign();
  subject.reconciler.setDesired(desiredFor([1, 2]));
  subject.settle();
  subject.reconciler.setDesired(desiredFor([2]));
  subject.settle();
  expect(foreign()).toEqual(before);
  subject.reconciler.removeAll();
  expect(foreign()).toEqual(before);
});

test("one who undoes each write is noticed, and answered with patience instead of heat", async () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  let report = subject.settle();
  let rounds = 0;
  for (; rounds < 100 && report.problems.length === 0; rounds++) {
    subject.netns.rtnl.do({
      op: "route.delete",
      route: {
        ...{ destination: parsePrefix("10.244.1.0/24"), table: 254 },
        ...{ type: "unicast", protocol: 84, scope: "universe", metric: 0 },
      },
    });
    report = subject.settle();
  }
  expect(rounds).toBeLessThan(20);
  expect(report.problems[0]?.message).toContain("somebody else undoes it");
  expect(subject.settle().writes).toEqual({});
  expect(report.retryIn).toBeGreaterThan(0);
  await subject.clock.advance(60_000);
  expect(subject.settle().problems).toEqual([]);
});

import { expect, test } from "bun:test";
import { EACCES, ENOMEM } from "../kernel/errno.ts";
import { desiredFor, node, picture, tunnel } from "./reconciler.fixture.ts";

test("while the underlay is down its routes wait, coolly; a while later it is said once; they return with the link", async () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  const whole = picture(subject);
  subject.netns.run("ip", "link", "set", "eth0", "down");
  const down = subject.settle();
  expect(down.problems).toEqual([]);
  expect(down.waiting).toBe(2);
  expect(down.writes).toEqual({});
  for (let second = 0; second < 20; second++) {
    await subject.clock.advance(1000);
    expect(subject.settle().writes).toEqual({});
  }
  const late = subject.settle();
  expect(late.problems.map((problem) => problem.message)).toEqual([
    "route 10.244.200.0/24 via 192.168.0.200 dev eth0 and 1 more like it wait: eth0 is down",
  ]);
  expect(late.retryIn).toBeGreaterThan(0);
  subject.netns.run("ip", "link", "set", "eth0", "up");
  subject.netns.run("ip", "address", "replace", "fd01::1/64", "dev", "eth0", "nodad");
  const up = subject.settle();
  expect({ problems: up.problems, waiting: up.waiting }).toEqual({ problems: [], waiting: 0 });
  expect(picture(subject)).toEqual(whole);
});

test("an underlay without its address: the routes wait for it, and the address brings them", () => {
  const subject = node();
  subject.netns.run("ip", "address", "del", "192.168.0.1/24", "dev", "eth0");
  subject.reconciler.setDesired(desiredFor([1]));
  const bare = subject.settle();
  expect(bare.waiting).toBe(1);
  expect(bare.problems).toEqual([]);
  // Late news of eth0 (addrconf, linkwatch) are a reason to try again, so what counts is a flush without any.
  expect(subject.settleWithoutNews().writes).toEqual({});
  subject.netns.run("ip", "address", "add", "192.168.0.1/24", "dev", "eth0");
  const report = subject.settle();
  expect(report.waiting).toBe(0);
  expect(report.writes).toEqual({ "route.add": 1 });
});

test("a cable that is out takes nothing away", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  const whole = picture(subject).map((line) => line.replace(/ linkdown/, ""));
  // The veth's other end goes down: no carrier here, but the device stays up.
  subject.far.run("ip", "link", "set", "eth0", "down");
  expect(subject.settle().writes).toEqual({});
  expect(picture(subject).map((line) => line.replace(/ linkdown/, ""))).toEqual(whole);
});

test("an underlay device that is deleted takes its tunnel along; both return with a new one of its name", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1], [tunnel()]));
  subject.settle();
  subject.netns.run("ip", "link", "del", "eth0");
  const gone = subject.settle();
  expect(gone.problems).toEqual([]);
  expect(gone.waiting).toBeGreaterThan(0);
  expect(subject.settle().writes).toEqual({});
  subject.netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0");
  subject.netns.run("ip", "link", "set", "far0", "up");
  subject.netns.run("ip", "address", "add", "192.168.0.1/24", "dev", "eth0");
  subject.netns.run("ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad");
  subject.netns.run("ip", "link", "set", "eth0", "up");
  const back = subject.settle();
  expect({ problems: back.problems, waiting: back.waiting }).toEqual({ problems: [], waiting: 0 });
  const fresh = node();
  fresh.reconciler.setDesired(desiredFor([1], [tunnel()]));
  fresh.settle();
  expect(picture(subject)).toEqual(picture(fresh));
});

test("one refused write stops no other, is named with the kernel's reason, and is tried again ever more seldom", async () => {
  const subject = node();
  subject.refuse = (operation) =>
    operation.op === "neighbour.replace" && operation.neighbour.address === ("10.244.1.0" as string)
      ? ENOMEM
      : undefined;
  subject.reconciler.setDesired(desiredFor([1, 2]));
  const report = subject.settle();
  expect(report.problems.map((problem) => problem.message)).toEqual([
    "neighbour flannel.1 10.244.1.0 lladdr 0e:00:00:00:00:01 failed: Cannot allocate memory (ENOMEM)",
  ]);
  expect(picture(subject).filter((line) => line.includes("10.244.2.0")).length).toBe(2);
  // News of the device (IPv6 addrconf sends some late) would be a reason to try at once: here is only the clock.
  const tries: number[] = [];
  for (let tenth = 1; tenth <= 300; tenth++) {
    await subject.clock.advance(100);
    if (Object.keys(subject.reconciler.flush().writes).length > 0) tries.push(tenth);
  }
  expect(tries).toEqual([2, 6, 14, 30, 62, 126, 254]);
  subject.refuse = undefined;
  await subject.clock.advance(30_000);
  expect(subject.settle().problems).toEqual([]);
  expect(subject.settle().writes).toEqual({});
});

test("a device that cannot be made is one problem; what stands on it waits", async () => {
  const subject = node();
  subject.refuse = (operation) => (operation.op === "link.add" ? EACCES : undefined);
  subject.reconciler.setDesired(desiredFor([1], [tunnel()]));
  const report = subject.settle();
  expect(report.problems.length).toBe(1);
  expect(report.problems[0]?.subject).toBe("flannel.1");
  expect(report.waiting).toBeGreaterThan(0);
  subject.refuse = undefined;
  await subject.clock.advance(1000);
  expect(subject.settle().problems).toEqual([]);
});

test("deleting what is gone and adding what is there is no failure", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1, 2]));
  subject.settle();
  subject.settle();
  // The kernel changes behind the reconciler's back, as between two messages.
  subject.netns.run("ip", "route", "del", "10.244.2.0/24");
  subject.netns.run("bridge", "fdb", "del", "0e:00:00:00:00:02", "dev", "flannel.1");
  subject.netns.run("ip", "neigh", "del", "10.244.2.0", "dev", "flannel.1");
  subject.netns.run(
    "ip",
    "route",
    "add",
    "10.244.3.0/24",
    "via",
    "10.244.3.0",
    "dev",
    "flannel.1",
    "onlink",
    "proto",
    "84",
  );
  subject.reconciler.setDesired(desiredFor([1, 3]));
  expect(subject.reconciler.flush().problems).toEqual([]);
  const report = subject.settle();
  expect(report.problems).toEqual([]);
  const fresh = node();
  fresh.reconciler.setDesired(desiredFor([1, 3]));
  fresh.settle();
  expect(picture(subject)).toEqual(picture(fresh));
});

test("after lost notifications everything is read again", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1, 2]));
  subject.settle();
  const whole = picture(subject);
  subject.netns.run("ip", "link", "del", "flannel.1");
  subject.netns.run("ip", "-6", "route", "del", "fd00:0:0:2::/64");
  subject.tap.take();
  subject.reconciler.onEvent({ type: "overrun" });
  expect(subject.reconciler.flush().problems).toEqual([]);
  expect(picture(subject)).toEqual(whole);
});

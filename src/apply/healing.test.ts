import { expect, test } from "bun:test";
import { prefixFamily } from "../base/prefix.ts";
import { desiredFor, node, picture, tunnel, tunnel6, withPeers } from "./reconciler.fixture.ts";

/** What a person, another program or the kernel may do to us. */
const damages: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "route deleted": [["ip", "route", "del", "10.244.1.0/24"]],
  "IPv6 route deleted": [["ip", "-6", "route", "del", "fd00:0:0:1::/64"]],
  "route replaced by one of another protocol": [["ip", "route", "replace", "10.244.1.0/24", "via", "192.168.0.77"]],
  "IPv6 route replaced": [["ip", "-6", "route", "replace", "fd00:0:0:1::/64", "via", "fd01::77"]],
  "route changed within our protocol": [
    ["ip", "route", "replace", "10.244.1.0/24", "via", "192.168.0.77", "proto", "84"],
  ],
  "direct route deleted": [["ip", "route", "del", "10.244.200.0/24"]],
  "stray route of ours added": [
    ["ip", "route", "add", "10.244.99.0/24", "via", "192.168.0.77", "proto", "84"],
    ["ip", "-6", "route", "add", "fd00:0:0:99::/64", "via", "fd01::77", "proto", "84"],
  ],
  "neighbour deleted": [["ip", "neigh", "del", "10.244.1.0", "dev", "flannel.1"]],
  "neighbour changed": [
    ["ip", "neigh", "replace", "10.244.1.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1", "nud", "permanent"],
  ],
  "neighbour no longer permanent": [
    ["ip", "neigh", "replace", "10.244.1.0", "lladdr", "0e:00:00:00:00:01", "dev", "flannel.1", "nud", "reachable"],
  ],
  "stray neighbour added": [
    ["ip", "neigh", "add", "10.244.99.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1", "nud", "permanent"],
  ],
  "forwarding entry deleted": [["bridge", "fdb", "del", "0e:00:00:00:00:01", "dev", "flannel.1"]],
  "forwarding entry leads elsewhere": [
    ["bridge", "fdb", "replace", "0e:00:00:00:00:01", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "forwarding entry leads elsewhere too": [
    ["bridge", "fdb", "append", "0e:00:00:00:00:01", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "stray forwarding entry added": [
    ["bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "address deleted": [["ip", "address", "del", "10.244.0.0/32", "dev", "flannel.1"]],
  "IPv6 address deleted": [["ip", "address", "del", "fd00::/128", "dev", "flannel-v6.1"]],
  "stray address added": [["ip", "address", "add", "10.9.9.9/32", "dev", "flannel.1"]],
  "MAC changed": [["ip", "link", "set", "flannel.1", "address", "02:aa:aa:aa:aa:aa"]],
  "MTU changed": [["ip", "link", "set", "flannel.1", "mtu", "1300"]],
  "alias changed": [["ip", "link", "set", "flannel.1", "alias", "mine"]],
  "device down": [["ip", "link", "set", "flannel.1", "down"]],
  "IPv6 device down and up": [
    ["ip", "link", "set", "flannel-v6.1", "down"],
    ["ip", "link", "set", "flannel-v6.1", "up"],
  ],
  "device deleted": [["ip", "link", "del", "flannel.1"]],
  "both devices deleted": [
    ["ip", "link", "del", "flannel.1"],
    ["ip", "link", "del", "flannel-v6.1"],
  ],
  "device renamed": [
    ["ip", "link", "set", "flannel.1", "down"],
    ["ip", "link", "set", "flannel.1", "name", "gotcha"],
  ],
  "device made anew with another port": [
    ["ip", "link", "del", "flannel.1"],
    ["ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "4789", "local", "192.168.0.1"],
    ["ip", "link", "set", "flannel.1", "alias", "twill"],
  ],
  "underlay flaps, its IPv6 address comes back": [
    ["ip", "link", "set", "eth0", "down"],
    ["ip", "link", "set", "eth0", "up"],
    ["ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad"],
  ],
  "underlay loses its addresses and gets them back": [
    ["ip", "address", "flush", "dev", "eth0"],
    ["ip", "address", "add", "192.168.0.1/24", "dev", "eth0"],
    ["ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad"],
  ],
};

for (const [name, commands] of Object.entries(damages)) {
  test(`healed by its notification: ${name}`, () => {
    const subject = node();
    subject.reconciler.setDesired(desiredFor([1, 2]));
    subject.settle();
    const whole = picture(subject);
    for (const command of commands) subject.netns.run(...command);
    const report = subject.settle();
    expect({ problems: report.problems, waiting: report.waiting }).toEqual({ problems: [], waiting: 0 });
    expect(picture(subject)).toEqual(whole);
    expect(subject.settle().writes).toEqual({});
  });
}

test("checksum offload is switched off where it is wanted off, only there, once, and again when a hand switches it on", () => {
  const subject = node();
  const off = { ...tunnel(), txChecksumOffload: false };
  subject.reconciler.setDesired(desiredFor([1], [off, tunnel6()]));
  expect(subject.settle().writes).toMatchObject({ ethtool: 1 });
  expect(subject.ethtool.read("flannel.1")).toBe(false);
  expect(subject.ethtool.read("flannel-v6.1")).toBe(true);
  expect(subject.settle().writes).toEqual({});
  subject.ethtool.write("flannel.1", true);
  expect(subject.settle().writes).toEqual({ ethtool: 1 });
  expect(subject.ethtool.read("flannel.1")).toBe(false);
  subject.netns.run("ip", "link", "del", "flannel.1");
  subject.settle();
  expect(subject.ethtool.read("flannel.1")).toBe(false);
});

// With IPv6 its vanishing link-local address betrays the flap; without, the link's own message is all there is.
for (const device of ["flannel.1", "eth0"]) {
  test(`without IPv6 on the machine, ${device} flapping costs nothing that does not come back`, () => {
    const subject = node();
    subject.netns.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
    const { own, peers } = withPeers(desiredFor([1, 2], [tunnel()]), (part) => {
      return { ...part, routes: part.routes.filter((route) => prefixFamily(route.destination) === 4) };
    });
    subject.reconciler.setDesired({ own: { ...own, sysctls: [] }, peers });
    subject.settle();
    const whole = picture(subject);
    subject.settle();
    subject.netns.run("ip", "link", "set", device, "down");
    subject.netns.run("ip", "link", "set", device, "up");
    expect(picture(subject)).not.toEqual(whole);
    expect(subject.settle().problems).toEqual([]);
    expect(picture(subject)).toEqual(whole);
  });
}

test("old news of a device that was made anew meanwhile is not believed", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  subject.reconciler.setDesired(desiredFor([1], [tunnel({ port: 4789 }), tunnel6()]));
  subject.reconciler.flush();
  const whole = picture(subject);
  // One by one, with a flush in between: as if each came in a turn of the event loop of its own.
  for (const event of subject.tap.take()) {
    subject.reconciler.onEvent(event);
    const report = subject.reconciler.flush();
    expect(report.problems).toEqual([]);
    expect(Object.keys(report.writes).filter((op) => op.startsWith("link."))).toEqual([]);
  }
  expect(picture(subject)).toEqual(whole);
});

test("a device that goes away between its notification and the flush is no failure", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  const whole = picture(subject);
  subject.netns.run("ip", "link", "set", "flannel.1", "address", "02:00:00:00:00:01");
  for (const event of subject.tap.take()) subject.reconciler.onEvent(event);
  subject.netns.run("ip", "link", "del", "flannel.1");
  subject.netns.run("ip", "link", "del", "eth0");
  subject.reconciler.flush();
  subject.netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0");
  subject.netns.run("ip", "link", "set", "far0", "up");
  subject.netns.run("ip", "link", "set", "eth0", "up");
  subject.netns.run("ip", "address", "add", "192.168.0.1/24", "dev", "eth0");
  subject.netns.run("ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad");
  const report = subject.settle();
  expect({ problems: report.problems, waiting: report.waiting }).toEqual({ problems: [], waiting: 0 });
  expect(picture(subject)).toEqual(whole);
});

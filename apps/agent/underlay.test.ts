import { expect, test } from "bun:test";
import type { Address } from "../../src/base/address.ts";
import { openEthtool } from "../../src/kernel/ethtool.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import { type TestNetns, testNetns, vethPair } from "../../test/support/netns.ts";
import { findUnderlay, type UnderlayOptions } from "./underlay.ts";

const automatic: UnderlayOptions = { iface: [], ifaceRegex: [], ifaceCanReach: undefined };

const of = (node: TestNetns) => ({
  rtnl: node.rtnl,
  ethtool: openEthtool({ netns: node.fd }),
  sysctls: kernelSysctls(node.fd),
});

/** A node with two interfaces: eth0 has the default route, eth1 has not. */
function machine() {
  const node = testNetns();
  const router = testNetns();
  vethPair({ netns: node, name: "eth0", mtu: 1400 }, { netns: router, name: "r0" });
  vethPair({ netns: node, name: "eth1" }, { netns: router, name: "r1" });
  node.run("ip", "addr", "add", "192.168.7.11/24", "dev", "eth0");
  node.run("ip", "addr", "add", "fd00:7::11/64", "dev", "eth0", "nodad");
  node.run("ip", "addr", "add", "192.168.8.11/24", "dev", "eth1");
  node.run("ip", "route", "add", "default", "via", "192.168.7.1");
  return node;
}

test("the default route's interface, its addresses, MTU and attached networks", () => {
  expect(findUnderlay(of(machine()), automatic, [4, 6])).toMatchObject({
    device: "eth0",
    mtu: 1400,
    ipv4: "192.168.7.11",
    ipv6: "fd00:7::11",
    attached: ["192.168.7.0/24", "fd00:7::/64"],
    driver: "veth",
    routerAdvertisements: true,
  });
});

test("an interface by name, by address, by expression, by what it reaches", () => {
  const kernel = of(machine());
  const by = (options: Partial<UnderlayOptions>) => findUnderlay(kernel, { ...automatic, ...options }, [4]).device;
  expect(by({ iface: ["eth9", "eth1"] })).toBe("eth1");
  expect(by({ iface: ["192.168.8.11"] })).toBe("eth1");
  expect(by({ ifaceRegex: ["^192\\.168\\.8\\."] })).toBe("eth1");
  expect(by({ ifaceCanReach: "192.168.8.77" as Address })).toBe("eth1");
  expect(by({ ifaceCanReach: "203.0.113.1" as Address })).toBe("eth0");
});

test("what is missing is said, with what there is", () => {
  const node = machine();
  expect(() => findUnderlay(of(node), { ...automatic, iface: ["eth9"] }, [4])).toThrow("no interface matches eth9");
  expect(() => findUnderlay(of(node), { ...automatic, iface: ["eth1"] }, [6])).toThrow("eth1 has no IPv6 address");
  node.run("ip", "route", "del", "default");
  let remedy: string | undefined;
  try {
    findUnderlay(of(node), automatic, [4]);
  } catch (error) {
    remedy = (error as { remedy?: string }).remedy;
  }
  expect(remedy).toBe("name it with --iface; there are: eth0 (192.168.7.11, fd00:7::11), eth1 (192.168.8.11)");
});

test("an address under duplicate address detection does not count yet", () => {
  const node = testNetns();
  const other = testNetns();
  vethPair({ netns: node, name: "eth0" }, { netns: other, name: "x0" });
  node.run("ip", "addr", "add", "fd00:7::11/64", "dev", "eth0");
  expect(() => findUnderlay(of(node), { ...automatic, iface: ["eth0"] }, [6])).toThrow("has no IPv6 address");
});

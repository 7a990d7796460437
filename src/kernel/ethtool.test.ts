import { expect, onTestFinished, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { openEthtool } from "./ethtool.ts";

test("checksum offload of a VXLAN device, as /sys and the kernel's features see it", () => {
  const netns = testNetns();
  netns.run("ip", "link", "add", "vx0", "type", "vxlan", "id", "1", "dstport", "4789", "local", "192.0.2.1");
  const ethtool = openEthtool({ netns: netns.fd });
  onTestFinished(() => ethtool.close());
  expect(ethtool.read("vx0")).toBe(true);
  ethtool.write("vx0", false);
  expect(ethtool.read("vx0")).toBe(false);
  ethtool.write("vx0", true);
  expect(ethtool.read("vx0")).toBe(true);
  expect(ethtool.driver("vx0")).toBe("vxlan");
});

test("no such device, and names that cannot be one", () => {
  const ethtool = openEthtool({ netns: testNetns().fd });
  onTestFinished(() => ethtool.close());
  expect(() => ethtool.read("nothing0")).toThrow("No such device");
  expect(() => ethtool.read("a-name-far-too-long-for-it")).toThrow("no device can be called");
  expect(() => ethtool.read("a\0b")).toThrow("no device can be called");
});

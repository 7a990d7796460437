import { expect, test } from "bun:test";
import { missingCapabilities } from "./capabilities.ts";

const status = (mask: string): string =>
  `Name:\ttwill-agent\nCapPrm:\t0000000000000000\nCapEff:\t${mask}\nNoNewPrivs:\t1\n`;

test("all that is needed, and nothing beside it", () => {
  expect(missingCapabilities(status("0000000000201000"))).toEqual([]);
  expect(missingCapabilities(status("000001ffffffffff"))).toEqual([]);
});

test("each that is missing is named, with what it is for", () => {
  expect(missingCapabilities(status("0000000000200000"))).toEqual([
    expect.stringContaining("CAP_NET_ADMIN, for devices"),
  ]);
  expect(missingCapabilities(status("0000000000001000"))).toEqual([
    expect.stringContaining("CAP_SYS_ADMIN, for entering"),
  ]);
  expect(missingCapabilities(status("0000000000000000"))).toHaveLength(2);
});

test("a kernel that does not say is believed to give all", () => {
  expect(missingCapabilities("Name:\tx\n")).toEqual([]);
});

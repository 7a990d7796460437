import { expect, test } from "bun:test";
import { type Counters, pathTaken } from "./path.ts";

const counters = (eth0: number, tunnel: number, veth: number): Counters =>
  new Map([
    ["eth0", { kind: "veth", packets: BigInt(eth0) }],
    ["flannel.1", { kind: "vxlan", packets: BigInt(tunnel) }],
    ["vethabc", { kind: "veth", packets: BigInt(veth) }],
  ]);

test("the way of a burst is what the devices counted", () => {
  const before = counters(100, 7, 3);
  expect(pathTaken(before, counters(120, 27, 23), "eth0", 20)).toBe("vxlan");
  expect(pathTaken(before, counters(120, 7, 23), "eth0", 20)).toBe("direct");
  expect(pathTaken(before, counters(100, 7, 23), "eth0", 20)).toBe("local");
});

test("what others send meanwhile is no burst; a tunnel that appears in between counts from zero", () => {
  expect(pathTaken(counters(100, 7, 3), counters(119, 8, 23), "eth0", 20)).toBe("local");
  expect(pathTaken(new Map(), counters(20, 20, 20), "eth0", 20)).toBe("vxlan");
});

import { expect, setDefaultTimeout, test } from "bun:test";
import { type TestNetns, testNetns } from "../../test/support/netns.ts";
import { isCode } from "../base/errors.ts";
import { addressAt, parsePrefix, sizeOf } from "../base/prefix.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { kernelSysctls } from "../kernel/sysctl.ts";
import { readKernel } from "./kernel-view.ts";
import { failsReversePath, lookupRoute } from "./route-lookup.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

const pick = <T>(random: Random, list: readonly T[]): T => list[random.below(list.length)] as T;

function node(): TestNetns {
  const netns = testNetns();
  for (const [index, device] of ["d1", "d2", "d3"].entries()) {
    netns.run("ip", "link", "add", device, "type", "veth", "peer", "name", `${device}p`);
    netns.run("ip", "link", "set", `${device}p`, "up");
    netns.run("ip", "address", "add", `192.168.${index}.1/24`, "dev", device);
    netns.run("ip", "-6", "address", "add", `fd00:${index}::1/64`, "dev", device, "nodad");
    netns.run("ip", "link", "set", device, "up");
  }
  return netns;
}

const view = (netns: TestNetns) => readKernel(netns.rtnl, kernelSysctls(netns.fd));

/** Routes and rules that overlap in every way; what is refused is simply not there. */
function scatter(netns: TestNetns, random: Random): void {
  const bases = {
    4: ["10.1.0.0", "10.1.2.0", "10.1.2.128", "10.0.0.0", "0.0.0.0"],
    6: ["fd10::", "fd10:0:0:1::", "fd10:0:0:1:8000::", "::"],
  };
  const lengths = { 4: [0, 8, 16, 24, 25, 32], 6: [0, 16, 48, 64, 65, 128] };
  const attempt = (...args: string[]) => netns.enter(() => Bun.spawnSync(["ip", ...args], { stderr: "ignore" }));
  for (let count = 0; count < 25; count++) {
    const family = pick(random, [4, 6] as const);
    const prefix = parsePrefix(`${pick(random, bases[family])}/${pick(random, lengths[family])}`);
    const type = pick(random, ["unicast", "unicast", "unicast", "blackhole", "unreachable", "prohibit", "throw"]);
    const index = random.below(3);
    const gateway = family === 4 ? `192.168.${index}.${2 + random.below(9)}` : `fd00:${index}::${2 + random.below(9)}`;
    const way = type !== "unicast" ? [] : random.below(2) === 0 ? ["dev", `d${index + 1}`] : ["via", gateway];
    const metric = random.below(2) === 0 ? [] : ["metric", String(10 + random.below(5))];
    attempt(
      `-${family}`,
      "route",
      "add",
      type,
      prefix,
      ...way,
      ...metric,
      "table",
      String(pick(random, [254, 254, 100, 101])),
    );
  }
  for (let count = 0; count < 5; count++) {
    const family = pick(random, [4, 6] as const);
    const priority = String(100 + (random.below(5) * 40_000) / 10);
    const selector = pick(random, [
      ["to", family === 4 ? "10.1.0.0/16" : "fd10::/64"],
      ["from", family === 4 ? "192.168.1.0/24" : "fd00:1::/64"],
      ["iif", "d1"],
      ["fwmark", "0x10/0xf0"],
      ["not", "to", family === 4 ? "10.1.2.0/24" : "fd10:0:0:1::/64"],
    ]);
    const action = pick(random, [["lookup", "100"], ["lookup", "101"], ["prohibit"], ["blackhole"]]);
    const head = selector[0] === "not" ? ["not"] : [];
    attempt(
      `-${family}`,
      "rule",
      "add",
      ...head,
      ...selector.filter((word) => word !== "not"),
      "priority",
      priority,
      ...action,
    );
  }
  if (random.below(3) === 0) attempt("link", "set", "d2", "down");
}

test("the model decides as the kernel does, over random routes and rules", () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() % 1e9);
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  let compared = 0;
  for (let round = 0; round < 12; round++) {
    const netns = node();
    scatter(netns, random);
    const kernel = view(netns);
    for (let question = 0; question < 120; question++) {
      const v4 = random.below(2) === 0;
      const space = parsePrefix(
        v4
          ? pick(random, ["10.1.2.0/24", "10.0.0.0/8", "192.168.1.0/24", "8.8.0.0/16"])
          : pick(random, ["fd10:0:0:1::/64", "fd10::/16", "fd00:1::/64", "2001:db8::/32"]),
      );
      const destination = addressAt(
        space,
        BigInt(Math.floor((random.below(1000) / 1000) * Number(sizeOf(space) > 65_536n ? 65_536n : sizeOf(space)))),
      );
      const mark = pick(random, [undefined, 0x10, 0x1f]);
      const options = mark === undefined ? {} : { mark };
      const decided = lookupRoute(kernel, { destination, ...options });
      let kernels: string;
      try {
        const route = netns.rtnl.routeTo(destination, options);
        kernels = ["blackhole", "unreachable", "prohibit"].includes(route.type)
          ? "no"
          : `${route.device} ${route.gateway ?? "-"} ${route.type === "local" ? "local" : ""}`;
      } catch (error) {
        if (!(error instanceof Error) || isCode(error, "internal")) throw error;
        kernels = "no";
      }
      const { found } = decided;
      const device = found?.type === "local" ? netns.indexOf("lo") : found?.device;
      const ours =
        found === undefined ? "no" : `${device} ${found.gateway ?? "-"} ${found.type === "local" ? "local" : ""}`;
      // IPv6 answers with the route's own prefix; what matters is where the packet goes.
      expect([seed, round, destination, mark, ours]).toEqual([seed, round, destination, mark, kernels]);
      compared++;
    }
    netns.close();
  }
  expect(compared).toBe(1440);
}, 120_000);

test("the reverse path check: strict wants the same device, loose any, and `all` counts", () => {
  const netns = node();
  netns.run("ip", "route", "add", "10.9.0.0/16", "dev", "d2");
  const set = (device: string, value: string) =>
    kernelSysctls(netns.fd).write(["ipv4", "conf", device, "rp_filter"], value);
  const fails = (source: string, device: string) =>
    failsReversePath(view(netns), parsePrefix(`${source}/32`).split("/")[0] as never, device);
  for (const device of ["all", "d1", "d2"]) set(device, "0");
  expect(fails("10.9.0.1", "d1")).toBe(false);
  set("d1", "1");
  expect([fails("10.9.0.1", "d1"), fails("10.9.0.1", "d2"), fails("192.168.0.5", "d1")]).toEqual([true, false, false]);
  set("d1", "2");
  expect([fails("10.9.0.1", "d1"), fails("8.8.8.8", "d1")]).toEqual([false, true]);
  set("d1", "0");
  set("all", "1");
  expect(fails("10.9.0.1", "d1")).toBe(true);
});

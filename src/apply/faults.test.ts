import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { FakeClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { pick, seededRandom } from "../base/random.ts";
import { EBUSY, ENOBUFS, ENOMEM, EPERM, errnoError } from "../kernel/errno.ts";
import { FakeNetwork } from "../kernel/fake-network.ts";
import type { FakeRtnl } from "../kernel/fake-rtnl.ts";
import { FakeSysctls } from "../kernel/fake-sysctl.ts";
import { desiredFor, tunnel, tunnel6 } from "./reconciler.fixture.ts";
import { Reconciler } from "./reconciler.ts";

/** eth0 with the addresses that the desired states stand on, on a kernel whose every write can be refused. */
function machine() {
  const rtnl: FakeRtnl = new FakeNetwork().namespace(1);
  rtnl.do({ op: "link.add", spec: { name: "eth0", kind: { type: "veth", peer: "far0" }, up: true } });
  const index = rtnl.link("eth0")?.index ?? 0;
  rtnl.do({ op: "link.set", index: rtnl.link("far0")?.index ?? 0, change: { up: true } });
  for (const [text, length] of [
    ["192.168.0.1", 24],
    ["fd01::1", 64],
  ] as const) {
    const address = parseAddress(text);
    rtnl.do({ op: "address.add", address: { device: index, address, length, scope: "universe", noDad: true } });
  }
  const clock = new FakeClock();
  const reconciler = new Reconciler({ rtnl, sysctl: new FakeSysctls(), clock, log: silentLog });
  rtnl.watch(["link", "address", "route", "neighbour"], (event) => reconciler.onEvent(event));
  return { rtnl, clock, reconciler };
}

const withoutSysctls = (...args: Parameters<typeof desiredFor>) => {
  const { own, peers } = desiredFor(...args);
  return { own: { ...own, sysctls: [] }, peers };
};

test("property: whatever writes the kernel refuses meanwhile, once it takes them again all is as desired", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const { rtnl, clock, reconciler } = machine();
    let desired = withoutSysctls([1]);
    let told = 0;
    rtnl.refuse = () => (random.below(4) === 0 ? errnoError(pick(random, [ENOMEM, EPERM, EBUSY, ENOBUFS])) : undefined);
    for (let step = 0; step < 15; step++) {
      const links = pick(random, [
        [tunnel(), tunnel6()],
        [tunnel({ port: 4789 }), tunnel6()],
        [tunnel({ vni: 7 }, "flannel.7")],
      ]);
      desired = withoutSysctls(
        [1, 2, 3, 4, 5].filter(() => random.below(2) === 0),
        links,
      );
      reconciler.setDesired(desired);
      told += reconciler.flush().problems.length;
      await clock.advance(random.below(2000));
    }
    rtnl.refuse = undefined;
    // Twice: what stood on a device that failed is tried after the device.
    for (let round = 0; round < 3; round++) {
      await clock.advance(60_000);
      reconciler.flush();
    }
    expect({ seed, told: told > 0 }).toEqual({ seed, told: true });
    expect({ seed, ...reconciler.flush() }).toEqual({ seed, writes: {}, problems: [], waiting: 0 });

    const fresh = machine();
    fresh.reconciler.setDesired(desired);
    fresh.reconciler.flush();
    expect({ seed, held: holdings(rtnl) }).toEqual({ seed, held: holdings(fresh.rtnl) });
  }
});

/** Everything that is in the kernel, devices by name. */
function holdings(rtnl: FakeRtnl): readonly string[] {
  const links = rtnl.links();
  const name = (index: number | undefined) => links.find((link) => link.index === index)?.name;
  return [
    ...links.map(({ name, kind, mtu, up, alias }) => JSON.stringify({ name, kind, mtu, up, alias })),
    ...rtnl.addresses().map(({ device, address, length }) => `${name(device)} ${address}/${length}`),
    ...rtnl.neighbours().map(({ device, address, mac }) => `${name(device)} ${address} ${mac}`),
    ...rtnl.fdb().map(({ device, mac, remote }) => `${name(device)} ${mac} ${remote}`),
    ...rtnl.routes().map(({ device, destination, gateway }) => `${destination} ${gateway} ${name(device)}`),
  ]
    .filter((line) => !line.includes("fe80::") && !line.includes("ff00::"))
    .sort();
}

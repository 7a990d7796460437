import { expect, test } from "bun:test";
import { testNetns, vethPair } from "../../test/support/netns.ts";
import type { Address } from "../base/address.ts";
import { inNetns } from "./netns.ts";
import { openPresenceSocket, type Presence } from "./presence-socket.ts";

/** A machine, a router, and another machine behind it that may be there or not. */
function machines() {
  const [here, router, there] = [testNetns(), testNetns(), testNetns()];
  vethPair({ netns: here, name: "eth0" }, { netns: router, name: "lan1" });
  vethPair({ netns: there, name: "eth0" }, { netns: router, name: "lan2" });
  for (const [netns, device, ...addresses] of [
    [here, "eth0", "10.1.0.1/24", "fd01::1/64"],
    [router, "lan1", "10.1.0.254/24", "fd01::254/64"],
    [router, "lan2", "10.2.0.254/24", "fd02::254/64"],
    [there, "eth0", "10.2.0.2/24", "fd02::2/64"],
  ] as const) {
    netns.run("ip", "link", "set", device, "up");
    for (const address of addresses)
      netns.run("ip", "address", "add", address, "dev", device, ...(address.includes(":") ? ["nodad"] : []));
  }
  router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
  for (const [netns, number] of [
    [here, 1],
    [there, 2],
  ] as const) {
    netns.run("ip", "route", "add", "default", "via", `10.${number}.0.254`);
    netns.run("ip", "-6", "route", "add", "default", "via", `fd0${number}::254`);
  }
  return { here, there };
}

/** What is heard within eight seconds, once anything is. */
async function ask(netns: { readonly fd: number }, address: string): Promise<Presence | undefined> {
  const socket = inNetns(netns.fd, () => openPresenceSocket(address as Address));
  try {
    for (let tries = 0; tries < 80; tries++) {
      if (tries % 10 === 0) socket.ask();
      await Bun.sleep(100);
      const heard = socket.heard();
      if (heard !== undefined) return heard;
    }
    return undefined;
  } finally {
    socket.close();
  }
}

const all = ["10.2.0.2", "fd02::2"] as const;
const both = async (netns: { readonly fd: number }, addresses: readonly string[] = all) =>
  Promise.all(addresses.map((address) => ask(netns, address)));

test("a kernel that answers is there, also one whose firewall refuses; one that is silent says nothing", async () => {
  const { here, there } = machines();
  expect(await both(here)).toEqual(["there", "there"]);
  there.run(
    "nft",
    "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in udp dport 9 reject with icmpx type admin-prohibited",
  );
  expect(await both(here)).toEqual(["there", "there"]);
  there.run("nft", "flush chain inet t in; add rule inet t in udp dport 9 drop");
  expect(await both(here)).toEqual([undefined, undefined]);
}, 60_000);

test("nobody has the address: on the own link, and behind a router", async () => {
  const { here, there } = machines();
  expect(await both(here, ["10.1.0.77", "fd01::77"])).toEqual(["nobody", "nobody"]);
  there.run("ip", "link", "set", "eth0", "down");
  expect(await both(here)).toEqual(["nobody", "nobody"]);
}, 60_000);

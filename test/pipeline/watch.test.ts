import { afterAll, expect, onTestFinished, test } from "bun:test";
import { ThreadPoller } from "../../src/kernel/poller.ts";
import { watchRtnl } from "../../src/kernel/rtnl-watch.ts";
import type { VxlanConfig } from "../../src/model/network.ts";
import { cluster, podAddress } from "./cluster.fixture.ts";

const vxlan: VxlanConfig = { type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };

const poller = new ThreadPoller();
afterAll(() => poller.close());

const wounds: readonly (readonly string[])[] = [
  ["ip", "route", "del", "10.244.2.0/24"],
  ["ip", "-6", "route", "del", "fd00:244:0:2::/64"],
  ["ip", "neigh", "del", "10.244.2.0", "dev", "flannel.1"],
  ["bridge", "fdb", "del", "0e:00:00:00:00:02", "dev", "flannel.1"],
  ["ip", "address", "del", "10.244.1.0/32", "dev", "flannel.1"],
  ["ip", "link", "set", "flannel.1", "down"],
  ["ip", "link", "set", "flannel.1", "address", "02:00:00:00:00:01"],
  ["ip", "link", "set", "flannel-v6.1", "mtu", "1300"],
  ["ip", "link", "del", "flannel.1"],
  ["ip", "link", "del", "flannel-v6.1"],
];

test("wounds heal by the kernel's own notifications, pods reach each other again, and nobody has to look", async () => {
  const subject = cluster(vxlan, "dual", 2);
  subject.settle();
  const [node] = subject.nodes;
  if (node === undefined) throw new Error("no node");
  let flushing = false;
  const watch = watchRtnl(
    poller,
    { groups: ["link", "address", "route", "neighbour"], netns: node.netns.fd },
    (event) => {
      node.reconciler.onEvent(event);
      if (flushing) return;
      flushing = true;
      setTimeout(() => {
        flushing = false;
        node.reconciler.flush();
      }, 0);
    },
  );
  onTestFinished(() => watch.close());
  const picture = () =>
    [
      node.netns.run("ip", "-4", "route", "show", "proto", "84"),
      node.netns.run("ip", "-6", "route", "show", "proto", "84"),
      node.netns.run("ip", "-o", "link", "show", "type", "vxlan").replaceAll(/^\d+: |qlen \d+/gm, ""),
      node.netns.run("ip", "-4", "-o", "address", "show", "dev", "flannel.1").replace(/^\d+: /, ""),
      node.netns.run("ip", "-4", "neigh", "show", "dev", "flannel.1", "nud", "permanent"),
      node.netns.run("bridge", "fdb", "show", "dev", "flannel.1"),
    ]
      .join("")
      .split("\n")
      .sort()
      .join("\n");
  const whole = picture();
  for (const wound of wounds) {
    node.netns.run(...wound);
    let now = "";
    // Healing takes milliseconds; the machine may be busy.
    for (let round = 0; round < 200 && now !== whole; round++) {
      await Bun.sleep(10);
      try {
        now = picture();
      } catch {
        now = "a device is away";
      }
    }
    expect({ wound, now }).toEqual({ wound, now: whole });
    for (const family of [4, 6] as const) {
      node.pod.run("ping", `-${family}`, "-c1", "-W5", podAddress(2, family));
    }
  }
});

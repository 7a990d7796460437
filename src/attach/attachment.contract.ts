import { describe, expect, test } from "bun:test";
import type { TestNetns } from "../../test/support/netns.ts";
import { type Family, familyOf } from "../base/address.ts";
import { isCode } from "../base/errors.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import { mainTable } from "../objects/route.ts";
import {
  type AttachmentCase,
  failingKernel,
  nodeAddresses,
  ping,
  podNetns,
  podRequest,
  testKernel,
  testNode,
} from "./attachment.fixture.ts";

const familySets: readonly (readonly Family[])[] = [[4], [6], [4, 6]];

/** Names of all devices, and all addresses and routes, of a namespace: what "nothing is left" is compared with. */
function inventory(netns: TestNetns): unknown {
  return {
    links: netns.rtnl.links().map(({ name, up }) => ({ name, up: name === "lo" || up })),
    addresses: netns.rtnl.addresses().filter(({ device }) => device !== 1),
    routes: netns.rtnl.routes().filter(({ device }) => device !== 1),
  };
}

/** What every attachment must do, on the real kernel. */
export function attachmentContract(which: AttachmentCase): void {
  const setUp = () => {
    const node = testNode();
    const kernel = testKernel(node);
    return { node, kernel, attachment: which.make(kernel, node) };
  };

  describe(`${which.type} attachment`, () => {
    for (const families of familySets) {
      test(`pods reach each other, the node and themselves at once (IPv${families.join(" and IPv")})`, () => {
        const { node, attachment } = setUp();
        const [a, b] = [podNetns(), podNetns()];
        const requests = [podRequest(which, a, 10, families), podRequest(which, b, 11, families)];
        for (const request of requests) attachment.attach(request);
        for (const { address } of requests[1]?.addresses ?? []) {
          ping(a, address);
          ping(b, address);
          if (which.reachesNode) ping(node, address);
        }
        for (const address of nodeAddresses)
          if (which.reachesNode && families.includes(familyOf(address))) ping(a, address);
        a.run("ping", "-c", "1", "-W", "1", "127.0.0.1");
      });
    }

    test("the result tells names, MACs, MTU, routes and gateways, as they are in the kernel", () => {
      const { node, attachment } = setUp();
      const pod = podNetns();
      const mac = parseMac("0e:00:00:00:00:2a");
      const destination = parsePrefix("198.51.100.0/24");
      const request = podRequest(which, pod, 10);
      const attached = attachment.attach({ ...request, mac, mtu: 1400, routes: [...request.routes, { destination }] });
      expect(attached.pod).toEqual({ name: "eth0", mac, mtu: 1400 });
      expect(pod.rtnl.link("eth0")).toMatchObject({ mac, mtu: 1400, up: true, carrier: true });
      expect(attached.host !== undefined).toBe(which.hostSide);
      if (attached.host !== undefined) {
        expect(attached.host.name).toMatch(/^twl[0-9a-f]{11}$/);
        expect(node.rtnl.link(attached.host.name)).toMatchObject({ ...attached.host, up: true, alias: "twill" });
      }
      for (const route of attached.routes)
        expect(pod.rtnl.routes()).toContainEqual(expect.objectContaining({ ...route }));
      expect(attached.routes.map((route) => route.destination)).toContain(destination);
    });

    test("addresses are usable at once: none is tentative", () => {
      const { attachment } = setUp();
      const pod = podNetns();
      attachment.attach(podRequest(which, pod, 10));
      expect(pod.rtnl.addresses().filter((address) => address.tentative === true)).toEqual([]);
    });

    test("an interface of that name is never taken over", () => {
      const { node, attachment } = setUp();
      const pod = podNetns();
      attachment.attach(podRequest(which, pod, 10));
      const before = [inventory(node), inventory(pod)];
      for (const index of [10, 11]) {
        expect(() => attachment.attach(podRequest(which, pod, index))).toThrow("has an interface eth0 already");
        expect([inventory(node), inventory(pod)]).toEqual(before);
      }
    });

    test("a failure at any operation leaves nothing behind", () => {
      const { node, kernel, attachment } = setUp();
      // Once before, so that what the node has for all pods (a bridge) is there.
      const first = podNetns();
      attachment.attach(podRequest(which, first, 9));
      const pod = podNetns();
      const before = [inventory(node), inventory(pod)];
      let failAt = 0;
      for (; failAt < 200; failAt++) {
        const faulty = failingKernel(kernel, failAt);
        const broken = which.make(faulty.kernel, node);
        try {
          broken.attach(podRequest(which, pod, 10));
          break;
        } catch (error) {
          expect(isCode(error, "kernel")).toBe(true);
        }
        expect([inventory(node), inventory(pod)]).toEqual(before);
      }
      expect(failAt).toBeGreaterThan(4);
      ping(first, podRequest(which, pod, 10, [4]).addresses[0]?.address ?? nodeAddresses[0] ?? failMissing());
    });

    test("refusals of the kernel leave nothing behind either: a route without a way to its gateway", () => {
      const { node, attachment } = setUp();
      const pod = podNetns();
      attachment.attach(podRequest(which, podNetns(), 9));
      const before = [inventory(node), inventory(pod)];
      const request = podRequest(which, pod, 10);
      const unreachable = { destination: parsePrefix("198.51.100.0/24"), gateway: familyGateway };
      expect(() => attachment.attach({ ...request, routes: [unreachable] })).toThrow();
      expect([inventory(node), inventory(pod)]).toEqual(before);
    });

    test("detach takes everything away, twice, and when the namespace is gone", () => {
      const { node, attachment } = setUp();
      const warm = podRequest(which, podNetns(), 9);
      attachment.attach(warm);
      attachment.detach(warm.key, warm.netns);
      const pod = podNetns();
      const before = [inventory(node), inventory(pod)];
      const request = podRequest(which, pod, 10);
      attachment.attach(request);
      attachment.detach(request.key, pod.fd);
      expect([inventory(node), inventory(pod)]).toEqual(before);
      attachment.detach(request.key, pod.fd);
      attachment.detach(request.key, undefined);
      attachment.attach(request);
      pod.close();
      attachment.detach(request.key, undefined);
      expect(inventory(node)).toEqual(before[0]);
    });

    test("check finds each kind of damage in the pod", () => {
      const { attachment } = setUp();
      const damages: readonly (readonly string[])[] = [
        ["link", "set", "eth0", "down"],
        ["link", "set", "eth0", "mtu", "1280"],
        ["link", "set", "eth0", "address", "0e:00:00:00:00:01"],
        ["link", "set", "lo", "down"],
        ["addr", "del", `10.244.1.10/${which.length[4]}`, "dev", "eth0"],
        ["-6", "addr", "flush", "dev", "eth0"],
        ["route", "del", "198.51.100.0/24"],
      ];
      for (const damage of damages) {
        const pod = podNetns();
        const plain = podRequest(which, pod, 10);
        const request = { ...plain, routes: [...plain.routes, { destination: parsePrefix("198.51.100.0/24") }] };
        const attached = attachment.attach(request);
        expect(attachment.check(request, attached)).toEqual([]);
        pod.run("ip", ...damage);
        expect([damage, attachment.check(request, attached).length > 0]).toEqual([damage, true]);
        attachment.detach(request.key, pod.fd);
        expect(attachment.check(request, attached).length).toBeGreaterThan(0);
      }
    });

    test("strays are what no known key explains, and can be removed", () => {
      const { node, attachment } = setUp();
      const [a, b] = [podNetns(), podNetns()];
      const known = podRequest(which, a, 10);
      const forgotten = podRequest(which, b, 11);
      attachment.attach(known);
      const attached = attachment.attach(forgotten);
      expect(attachment.strays([known.key, forgotten.key])).toEqual([]);
      const strays = attachment.strays([known.key]);
      expect(strays).toEqual(attached.host === undefined ? [] : [attached.host.name]);
      for (const stray of strays) {
        attachment.remove(stray);
        attachment.remove(stray);
        expect(node.rtnl.link(stray)).toBeUndefined();
        expect(b.rtnl.link("eth0")).toBeUndefined();
      }
      attachment.remove("lo");
      expect(a.rtnl.link("eth0")?.up).toBe(true);
    });

    test("what a crash left under the same key does not stand in the way", () => {
      const { attachment } = setUp();
      const [a, b] = [podNetns(), podNetns()];
      attachment.attach(podRequest(which, a, 10));
      a.close();
      attachment.attach(podRequest(which, b, 10));
      expect(b.rtnl.link("eth0")?.up).toBe(true);
    });

    test("the MTU of a running pod changes at both ends", () => {
      const { node, attachment } = setUp();
      const [a, b] = [podNetns(), podNetns()];
      const request = podRequest(which, a, 10);
      const attached = attachment.attach(request);
      attachment.attach(podRequest(which, b, 11));
      attachment.setMtu(request.key, a.fd, { device: 1400 });
      expect(a.rtnl.link("eth0")?.mtu).toBe(1400);
      if (attached.host !== undefined) expect(node.rtnl.link(attached.host.name)?.mtu).toBe(1400);
      for (const { address } of podRequest(which, b, 11).addresses) ping(a, address);
    });

    test("a running pod receives more than it sends, until it is told otherwise", () => {
      const { attachment } = setUp();
      const [a, b] = [podNetns(), podNetns()];
      const request = podRequest(which, a, 10);
      attachment.attach(request);
      attachment.attach(podRequest(which, b, 11));
      const peers = podRequest(which, b, 11).addresses;
      const sends = () => {
        const link = a.rtnl.link("eth0");
        const routes = a.rtnl.routes({ device: link?.index ?? 0, table: mainTable });
        const limits = routes.filter(({ destination }) => !destination.startsWith("fe80:")).map(({ mtu }) => mtu);
        return { device: link?.mtu, limits: [...new Set(limits)] };
      };
      const before = sends();
      expect(before).toEqual({ device: 1450, limits: [undefined] });
      attachment.setMtu(request.key, a.fd, { device: 1500, sends: 1450 });
      // The limit of IPv6 is one less: the growing device would have lifted it.
      expect(sends().device).toBe(1500);
      expect(sends().limits.filter((limit) => limit !== 1450 && limit !== 1449)).toEqual([]);
      for (const { address } of peers) ping(a, address);
      attachment.setMtu(request.key, a.fd, { device: 1500, sends: 1400 });
      expect(sends()).toEqual({ device: 1500, limits: [1400] });
      attachment.setMtu(request.key, a.fd, { device: 1400 });
      expect(sends()).toEqual({ device: 1400, limits: [undefined] });
      for (const { address } of peers) ping(a, address);
    });

    test("repair writes nothing when nothing is wrong, and names what is beyond repair", () => {
      const { node, kernel, attachment } = setUp();
      const pod = podNetns();
      const { netns, ...plan } = podRequest(which, pod, 10);
      const attached = attachment.attach({ ...plan, netns });
      const before = JSON.stringify(kernel.node.rtnl.counters.writes);
      expect(attachment.repair([{ plan, attached }])).toEqual({ mended: [], broken: [] });
      expect(JSON.stringify(kernel.node.rtnl.counters.writes)).toBe(before);
      if (attached.host === undefined) return;
      node.run("ip", "link", "set", attached.host.name, "down", "mtu", "1280");
      expect(attachment.repair([{ plan, attached }]).mended.length).toBeGreaterThan(1);
      expect(attachment.check({ ...plan, netns }, attached)).toEqual([]);
      for (const { address } of plan.addresses) ping(node, address);
      node.run("ip", "link", "del", attached.host.name);
      expect(attachment.repair([{ plan, attached }]).broken).toHaveLength(1);
    });

    test("30 pods come and go", () => {
      const { node, attachment } = setUp();
      const pods = Array.from({ length: 30 }, (_, index) => podRequest(which, podNetns(), index + 10));
      for (const request of pods) attachment.attach(request);
      for (const request of pods) attachment.detach(request.key, request.netns);
      expect(node.rtnl.links().filter(({ name }) => name.startsWith("twl"))).toEqual([]);
    });
  });
}

const familyGateway = nodeAddresses[0] ?? failMissing();

function failMissing(): never {
  throw new Error("a test constant is missing");
}

import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { hostPrefix } from "../../base/prefix.ts";
import { kernelSysctls } from "../../kernel/sysctl.ts";
import { TWILL_POD_ROUTE_PROTOCOL } from "../../objects/route.ts";
import { attachmentContract } from "../attachment.contract.ts";
import { type AttachmentCase, ping, podNetns, podRequest, testKernel, testNode } from "../attachment.fixture.ts";
import { RoutedAttachment } from "./routed-attachment.ts";

const which: AttachmentCase = {
  type: "routed",
  make: (kernel) => new RoutedAttachment(kernel),
  length: { 4: 32, 6: 128 },
  gateways: [],
  reachesNode: true,
  hostSide: true,
};

attachmentContract(which);

const setUp = () => {
  const node = testNode();
  const attachment = new RoutedAttachment(testKernel(node));
  const pod = podNetns();
  const request = podRequest(which, pod, 10);
  const attached = attachment.attach(request);
  return { node, attachment, pod, request, attached, device: attached.host?.name ?? "" };
};

test("the pod sends everything to 169.254.1.1 and fe80::1, the node has a route a pod address", () => {
  const { node, attached, device } = setUp();
  expect(attached.gateways).toEqual(["169.254.1.1", "fe80::1"].map(parseAddress));
  const index = node.indexOf(device);
  const routes = node.rtnl.routes({ protocol: TWILL_POD_ROUTE_PROTOCOL });
  expect(routes.map((route) => [route.destination as string, route.device])).toEqual([
    ["10.244.1.10/32", index],
    ["fd00:10:244:1::a/128", index],
  ]);
});

test("a pod cannot send from an address that is not its own: the node counts and drops it", () => {
  const { node, pod } = setUp();
  const filtered = (): number => {
    const [names, values] = node
      .run("cat", "/proc/net/netstat")
      .split("\n")
      .filter((line) => line.startsWith("TcpExt:"))
      .map((line) => line.split(" "));
    return Number(values?.[names?.indexOf("IPReversePathFilter") ?? 0]);
  };
  pod.run("ip", "addr", "add", "10.244.1.77/32", "dev", "lo");
  const before = filtered();
  expect(() => pod.run("ping", "-c", "1", "-W", "1", "-I", "10.244.1.77", "192.0.2.1")).toThrow();
  expect(filtered()).toBeGreaterThan(before);
});

test("check finds each kind of damage on the node's side, and repair mends it", () => {
  const { node, attachment, pod, request, attached, device } = setUp();
  const damages: readonly (readonly string[])[] = [
    ["ip", "link", "set", device, "down"],
    ["ip", "link", "set", device, "mtu", "1280"],
    ["ip", "route", "del", "10.244.1.10/32"],
    ["ip", "-6", "route", "del", "fd00:10:244:1::a/128"],
    ["ip", "-6", "addr", "flush", "dev", device],
  ];
  const verify = (damage: unknown) => {
    expect([damage, attachment.check(request, attached).length > 0]).toEqual([damage, true]);
    expect(attachment.repair([{ plan: request, attached }]).mended.length).toBeGreaterThan(0);
    expect([damage, attachment.check(request, attached)]).toEqual([damage, []]);
    for (const { address } of request.addresses) ping(node, address);
    ping(pod, parseAddress("2001:db8::1"));
  };
  for (const damage of damages) {
    node.run(...damage);
    verify(damage);
  }
  const sysctls = kernelSysctls(node.fd);
  for (const [family, name, value] of [
    ["ipv4", "rp_filter", "0"],
    ["ipv4", "forwarding", "0"],
    ["ipv6", "accept_ra", "2"],
    ["ipv6", "disable_ipv6", "1"],
  ] as const) {
    sysctls.write([family, "conf", device, name], value);
    verify(name);
  }
});

test("IPv6 that is switched off for new devices, on the node and in the pod, is switched on for the pod's own", () => {
  const node = testNode();
  const pod = podNetns();
  for (const netns of [node, pod]) kernelSysctls(netns.fd).write(["ipv6", "conf", "default", "disable_ipv6"], "1");
  new RoutedAttachment(testKernel(node)).attach(podRequest(which, pod, 10));
  ping(pod, parseAddress("2001:db8::1"));
});

test("the node has no route to a pod before the pod answers ARP: the first packet would make all others wait a second", () => {
  const node = testNode();
  const kernel = testKernel(node);
  const pod = podNetns();
  const seen: { readonly routed: string; readonly answers: boolean }[] = [];
  const { rtnl } = kernel.node;
  const apply = rtnl.apply.bind(rtnl);
  rtnl.apply = (operations) => {
    for (const operation of operations) {
      if (operation.op !== "route.add" && operation.op !== "route.replace") continue;
      const { destination } = operation.route;
      const has = pod.rtnl.addresses().some(({ address }) => hostPrefix(address) === destination);
      seen.push({ routed: destination, answers: has && pod.rtnl.link("eth0")?.carrier === true });
    }
    return apply(operations);
  };
  new RoutedAttachment(kernel).attach(podRequest(which, pod, 10));
  expect(seen).toEqual([
    { routed: "10.244.1.10/32", answers: true },
    { routed: "fd00:10:244:1::a/128", answers: true },
  ]);
});

import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { attachmentContract } from "../attachment.contract.ts";
import { type AttachmentCase, ping, podNetns, podRequest, testKernel, testNode } from "../attachment.fixture.ts";
import { BridgeAttachment } from "./bridge-attachment.ts";

const options = { name: "cni0", hairpin: true };
const which: AttachmentCase = {
  type: "bridge",
  make: (kernel) => new BridgeAttachment(kernel, options),
  length: { 4: 24, 6: 64 },
  gateways: [parseAddress("10.244.1.1"), parseAddress("fd00:10:244:1::1")],
  reachesNode: true,
  hostSide: true,
};

attachmentContract(which);

test("the bridge has the gateways, and keeps its MAC while pods come and go", () => {
  const node = testNode();
  const attachment = new BridgeAttachment(testKernel(node), options);
  const requests = [10, 11, 12].map((index) => podRequest(which, podNetns(), index));
  const macs = requests.map((request) => {
    attachment.attach(request);
    return node.rtnl.link("cni0")?.mac;
  });
  for (const { key } of requests) {
    attachment.detach(key);
    macs.push(node.rtnl.link("cni0")?.mac);
  }
  expect(new Set(macs).size).toBe(1);
  expect(
    node.rtnl.addresses({ device: node.indexOf("cni0") }).map(({ address, length }) => `${address}/${length}`),
  ).toEqual(["10.244.1.1/24", "fd00:10:244:1::1/64", "fe80::1/64"]);
});

test("hairpin as configured", () => {
  for (const hairpin of [true, false]) {
    const node = testNode();
    const attachment = new BridgeAttachment(testKernel(node), { ...options, hairpin });
    const { host } = attachment.attach(podRequest(which, podNetns(), 10));
    expect(node.rtnl.link(host?.name ?? "")?.hairpin ?? false).toBe(hairpin);
  }
});

test("a bridge deleted by hand comes back with its ports; one without pods goes", () => {
  const node = testNode();
  const attachment = new BridgeAttachment(testKernel(node), options);
  const requests = [10, 11].map((index) => podRequest(which, podNetns(), index));
  const attached = requests.map((request) => ({ plan: request, attached: attachment.attach(request) }));
  node.run("ip", "link", "del", "cni0");
  expect(attachment.repair(attached).broken).toEqual([]);
  for (const request of requests) for (const { address } of request.addresses) ping(node, address);
  node.run("ip", "addr", "add", "10.244.9.1/24", "dev", "cni0");
  expect(attachment.repair(attached).mended).toEqual(["cni0 had the address 10.244.9.1/24 of no pod's subnet"]);
  expect(attachment.repair([]).mended).toEqual([]);
  for (const { key } of requests) attachment.detach(key);
  expect(attachment.repair([]).mended).toEqual(["the bridge cni0 had no pods any more"]);
  expect(node.rtnl.link("cni0")).toBeUndefined();
});

test("a device of that name that is no bridge is left alone, with a word on what to do", () => {
  const node = testNode();
  node.rtnl.do({ op: "link.add", spec: { name: "cni0", kind: { type: "veth" }, peer: { name: "other" } } });
  const attachment = new BridgeAttachment(testKernel(node), options);
  expect(() => attachment.attach(podRequest(which, podNetns(), 10))).toThrow("cni0 is no bridge");
});

import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { everything } from "../../base/prefix.ts";
import { attachmentContract } from "../attachment.contract.ts";
import { type AttachmentCase, ping, podNetns, podRequest, testKernel, testNode } from "../attachment.fixture.ts";
import { MacvlanAttachment } from "./macvlan-attachment.ts";

const which: AttachmentCase = {
  type: "macvlan",
  make: (kernel, node) => {
    if (node.rtnl.link("uplink") === undefined)
      node.rtnl.do({
        op: "link.add",
        spec: { name: "uplink", kind: { type: "veth" }, up: true, peer: { name: "segment", up: true } },
      });
    return new MacvlanAttachment(kernel, { master: "uplink", mode: "bridge" });
  },
  length: { 4: 24, 6: 64 },
  gateways: [],
  reachesNode: false,
  hostSide: false,
};

attachmentContract(which);

test("pods are machines of the node's segment: who is on it reaches them, and is their gateway", () => {
  const node = testNode();
  const attachment = which.make(testKernel(node), node);
  const machine = podNetns();
  node.rtnl.do({ op: "link.set", index: node.indexOf("segment"), change: { netns: machine.fd } });
  machine.run("ip", "addr", "add", "10.244.1.1/24", "dev", "segment");
  machine.run("ip", "link", "set", "segment", "up");
  const pod = podNetns();
  const request = podRequest(which, pod, 10, [4]);
  const gateways = [parseAddress("10.244.1.1")];
  attachment.attach({ ...request, gateways, routes: [{ destination: everything(4) }] });
  ping(pod, parseAddress("10.244.1.1"));
  expect(pod.rtnl.routeTo(parseAddress("203.0.113.9")).gateway).toBe(parseAddress("10.244.1.1"));
});

test("a missing master and an MTU above its own are refused with a remedy", () => {
  const node = testNode();
  const kernel = testKernel(node);
  const missing = new MacvlanAttachment(kernel, { master: "none0", mode: "bridge" });
  expect(() => missing.attach(podRequest(which, podNetns(), 10))).toThrow("the node has no device none0");
  const attachment = which.make(kernel, node);
  expect(() => attachment.attach({ ...podRequest(which, podNetns(), 10), mtu: 9000 })).toThrow("exceeds the 1500");
});

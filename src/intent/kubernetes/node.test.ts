import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { bareNode, policyNode } from "./node.ts";

const tunnel = parseAddress("10.244.1.0");

test("a Node has the addresses of its report and those that are known besides; host names are none", () => {
  const addresses = [
    { type: "InternalIP", address: "192.168.1.1" },
    { type: "InternalIP", address: "fd00:0::1" },
    { type: "Hostname", address: "n1" },
  ];
  const metadata = { name: "n1", labels: { zone: "b", "a b": "no label", app: "x" } };
  expect(policyNode({ metadata, status: { addresses } }, [tunnel, parseAddress("192.168.1.1")])).toEqual({
    name: "n1",
    labels: { app: "x", zone: "b" },
    addresses: ["10.244.1.0", "192.168.1.1", "fd00::1"] as never,
  });
  expect(policyNode({ metadata: { name: "n2" } }, [])).toEqual({ name: "n2", labels: {}, addresses: [] });
});

test("without a Node, its name is its label", () => {
  expect(bareNode("n1", [tunnel])).toEqual({
    name: "n1",
    labels: { "kubernetes.io/hostname": "n1" },
    addresses: [tunnel],
  });
});

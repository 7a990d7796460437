import { expect, test } from "bun:test";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { clusterRanges } from "./settings.ts";

const ranges = (config: Record<string, unknown>) =>
  clusterRanges(
    parseNetConf(JSON.stringify({ Backend: { Type: "vxlan" }, ...config }), { source: "test", allowExtension: false }),
  );

test("the control plane is told the pods' network and a free one for Services", () => {
  const { pods, services } = ranges({ Network: "10.244.0.0/16" });
  expect(pods.map(({ network, subnetLength }) => [String(network), subnetLength])).toEqual([["10.244.0.0/16", 24]]);
  expect(services.map(String)).toEqual(["10.96.0.0/16"]);
});

test("Services keep out of the pods' way", () => {
  expect(ranges({ Network: "10.0.0.0/8", SubnetLen: 20 }).services.map(String)).toEqual(["172.20.0.0/16"]);
});

test("both families, IPv4 first", () => {
  const { pods, services } = ranges({ Network: "10.1.0.0/16", EnableIPv6: true, IPv6Network: "fd00:10:96::/56" });
  expect(pods.map(({ network }) => String(network))).toEqual(["10.1.0.0/16", "fd00:10:96::/56"]);
  expect(services.map(String)).toEqual(["10.96.0.0/16", "fd00:10:97::/112"]);
});

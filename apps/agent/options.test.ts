import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { TwillError } from "../../src/base/errors.ts";
import { agentOptions } from "./options.ts";

const message = (argv: string[], variables = {}): string => {
  try {
    agentOptions(argv, variables);
    return "";
  } catch (error) {
    return error instanceof TwillError ? error.describe() : String(error);
  }
};

test("flanneld's flags and environment work unchanged", () => {
  const options = agentOptions(["--iface", "eth1", "--iface-regex=^en"], {
    FLANNELD_IP_MASQ: "false",
    FLANNELD_SUBNET_FILE: "/run/x.env",
    FLANNELD_ETCD_PREFIX: "/coreos.com/network", // not ours yet: ignored in the environment
    TWILL_SUBNET_FILE: "/run/y.env",
  });
  expect([options.iface, options.ifaceRegex, options.ipMasq, options.subnetFile]).toEqual([
    ["eth1"],
    ["^en"],
    false,
    "/run/y.env",
  ]);
  expect(options.nodeName).toBe(hostname().toLowerCase());
});

test("each wrong value names its flag", () => {
  expect(message(["--node-name", "Node_1"])).toStartWith('--node-name: "Node_1" is not a valid node name');
  expect(message(["--public-ip", "fd00::1"])).toBe('--public-ip: "fd00::1" is not an IPv4 address');
  expect(message(["--public-ipv6", "10.0.0.1"])).toBe('--public-ipv6: "10.0.0.1" is not an IPv6 address');
  expect(message(["--iface-regex", "("])).toContain('--iface-regex: "(" is not a regular expression');
  expect(message(["--attachment", "ovs"])).toBe('--attachment: "ovs" is none of routed, bridge, foreign');
  expect(message(["stray"])).toContain('"stray" is not a flag');
  expect(message([], { TWILL_HEALTHZ_PORT: "x" })).toContain("TWILL_HEALTHZ_PORT");
});

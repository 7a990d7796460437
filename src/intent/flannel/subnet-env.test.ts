import { expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import type { Prefix } from "../../base/prefix.ts";
import { pick, seededRandom } from "../../base/random.ts";
import { formatSubnetEnv, parseSubnetEnv, type SubnetEnv } from "./subnet-env.ts";

const prefix = (text: string): Prefix => text as Prefix;

/** Flannel's Documentation/configuration.md, "Dual-stack". */
const documented = `FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.0.1/24
FLANNEL_IPV6_NETWORK=2001:cafe:42::/56
FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`;
const dual: SubnetEnv = {
  ipv4: { network: prefix("10.42.0.0/16"), subnet: prefix("10.42.0.0/24") },
  ipv6: { network: prefix("2001:cafe:42::/56"), subnet: prefix("2001:cafe:42::/64") },
  mtu: 1450,
  masquerade: true,
};

test("Flannel's documented file, both ways", () => {
  expect(parseSubnetEnv(documented)).toEqual(dual);
  expect(formatSubnetEnv(dual)).toBe(documented);
});

test("one family alone, both ways", () => {
  const { ipv4, ipv6 } = dual;
  for (const env of [
    { ...(ipv4 && { ipv4 }), mtu: 68, masquerade: false },
    { ...(ipv6 && { ipv6 }), mtu: 65535, masquerade: true },
  ]) {
    expect(parseSubnetEnv(formatSubnetEnv(env))).toEqual(env);
  }
});

test("shells and systemd may have written it", () => {
  const text =
    '# by hand\n\nexport FLANNEL_NETWORK="10.42.0.0/16"\nFLANNEL_SUBNET=10.42.3.1/24\r\nFLANNEL_MTU=1450\nX=1\n';
  const ipv4 = { network: prefix("10.42.0.0/16"), subnet: prefix("10.42.3.0/24") };
  expect(parseSubnetEnv(text)).toEqual({ ipv4, mtu: 1450, masquerade: false });
});

for (const [text, where, message] of [
  ["", "FLANNEL_SUBNET", "neither"],
  ["FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_MTU=1450", "FLANNEL_SUBNET", "missing"],
  ["FLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=1450", "FLANNEL_NETWORK", "missing"],
  [documented.replace("10.42.0.1/24", "10.43.0.1/24"), "FLANNEL_SUBNET", "not an IPv4 subnet of 10.42.0.0/16"],
  [documented.replace("10.42.0.1/24", "10.42.0.1"), "FLANNEL_SUBNET", "no mask"],
  [documented.replace("1450", "67"), "FLANNEL_MTU", '"67" is not an MTU'],
  [documented.replace("1450", ""), "FLANNEL_MTU", '"" is not an MTU'],
  [documented.replace("=true", "=yes"), "FLANNEL_IPMASQ", "not true or false"],
  [`${documented}FLANNEL_MTU=1450\n`, "line 7", "stands twice"],
  [`${documented}rm -rf /\n`, "line 7", "NAME=VALUE"],
] as const) {
  test(`refused: ${where} ${message}`, () => {
    expect(() => parseSubnetEnv(text, "/run/flannel/subnet.env")).toThrow(message);
    expect(() => parseSubnetEnv(text, "/run/flannel/subnet.env")).toThrow(
      expect.objectContaining({ code: "invalid", object: `/run/flannel/subnet.env: ${where}` }),
    );
  });
}

test("any mutation is read or refused with a TwillError", () => {
  const random = seededRandom(3);
  for (let round = 0; round < 5000; round++) {
    const at = random.below(documented.length);
    const text = documented.slice(0, at) + pick(random, [..."=/.:\n0a\u0000"]) + documented.slice(at + random.below(4));
    try {
      const env = parseSubnetEnv(text);
      expect(parseSubnetEnv(formatSubnetEnv(env))).toEqual(env);
    } catch (error) {
      if (!(error instanceof TwillError) || error.code !== "invalid") throw error;
    }
  }
});

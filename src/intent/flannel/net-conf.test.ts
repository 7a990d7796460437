import { describe, expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import { JsonError } from "../../base/json-error.ts";
import { type Prefix, subnetAt, subnetCount } from "../../base/prefix.ts";
import type { Problem } from "../../base/problem.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import type { BackendConfig, ClusterNetwork, NetworkRange, VxlanConfig } from "../../model/network.ts";
import { formatNetConf, networkDifferences, parseNetConf, sameNetwork } from "./net-conf.ts";

const prefix = (text: string): Prefix => text as Prefix;
const parse = (value: unknown) => parseNetConf(JSON.stringify(value));
const vxlan: VxlanConfig = {
  type: "vxlan",
  vni: 1,
  port: 8472,
  gbp: false,
  learning: false,
  directRouting: false,
};
const range = (network: string, subnetLength: number, min: string, max: string): NetworkRange => ({
  network: prefix(network),
  subnetLength,
  subnetMin: prefix(`${min}/${subnetLength}`),
  subnetMax: prefix(`${max}/${subnetLength}`),
});

describe("defaults", () => {
  test("Network alone: Flannel's own test document", () => {
    expect(parseNetConf('{ "network": "10.3.0.0/16" }')).toEqual({
      ipv4: range("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"),
      backend: vxlan,
      enableNFTables: false,
    });
  });

  test("IPv6 alone: Flannel's own test document", () => {
    expect(parseNetConf('{ "enableIPv6": true, "ipv6Network": "fc00::/48", "enableIPv4": false }')).toEqual({
      ipv6: range("fc00::/48", 64, "fc00:0:0:1::", "fc00:0:0:ffff::"),
      backend: vxlan,
      enableNFTables: false,
    });
  });

  test("dual stack, every field, any case", () => {
    const text = `{
      "ENABLEIPV4": true, "EnableIPv6": true, "enablenftables": true,
      "Network": "10.0.0.0/8", "SubnetMin": "10.10.0.0", "SubnetMax": "10.99.0.0", "SubnetLen": 20,
      "IPv6Network": "2001:cafe:42:0::/56", "IPv6SubnetLen": 64,
      "IPv6SubnetMin": "2001:cafe:42:0::", "IPv6SubnetMax": "2001:cafe:42:0f::",
      "Backend": {"type": "VXLAN", "vni": 4096, "port": 4789, "gbp": true, "learning": true, "Directrouting": true, "mtu": 1400}
    }`;
    expect(parseNetConf(text)).toEqual({
      ipv4: range("10.0.0.0/8", 20, "10.10.0.0", "10.99.0.0"),
      ipv6: range("2001:cafe:42::/56", 64, "2001:cafe:42::", "2001:cafe:42:f::"),
      backend: { type: "vxlan", vni: 4096, port: 4789, gbp: true, learning: true, directRouting: true, mtu: 1400 },
      enableNFTables: true,
    });
  });

  for (const [network, length] of [
    ["10.0.0.0/8", 24],
    ["10.244.0.0/22", 24],
    ["10.244.0.0/23", 25],
    ["10.244.0.0/24", 26],
    ["10.244.0.0/28", 30],
  ] as const) {
    test(`SubnetLen of ${network} is ${length}`, () => {
      expect(parse({ Network: network }).ipv4?.subnetLength).toBe(length);
    });
  }
  for (const [network, length] of [
    ["fd00::/48", 64],
    ["fd00::/62", 64],
    ["fd00::/63", 65],
    ["fd00::/124", 126],
  ] as const) {
    test(`IPv6SubnetLen of ${network} is ${length}`, () => {
      expect(parse({ EnableIPv4: false, EnableIPv6: true, IPv6Network: network }).ipv6?.subnetLength).toBe(length);
    });
  }

  test("SubnetMin at the network's start makes all 65,536 subnets of 10.0.0.0/8 leasable", () => {
    const { ipv4 } = parse({ Network: "10.0.0.0/8", SubnetMin: "10.0.0.0" });
    expect(ipv4).toEqual(range("10.0.0.0/8", 24, "10.0.0.0", "10.255.255.0"));
    expect(parse({ Network: "10.0.0.0/8" }).ipv4?.subnetMin).toBe(prefix("10.0.1.0/24"));
  });

  test("a family that is not enabled is left aside, null is absent", () => {
    const network = parse({ Network: "0.0.0.0/0", EnableIPv4: false, EnableIPv6: true, IPv6Network: "fd00::/48" });
    expect(network.ipv4).toBeUndefined();
    expect(parse({ Network: "10.3.0.0/16", SubnetLen: null, Backend: null })).toEqual(
      parse({ Network: "10.3.0.0/16" }),
    );
  });

  test("whoever forgot EnableIPv6 hears of it", () => {
    const warnings: Problem[] = [];
    const warn = (problem: Problem) => warnings.push(problem);
    parseNetConf('{"Network":"10.3.0.0/16","IPv6Network":"fd00::/48"}', { warn });
    parseNetConf('{"Network":"10.3.0.0/16","IPv6Network":"fd00::/48","EnableIPv6":false}', { warn });
    expect(warnings.map((warning) => warning.subject)).toEqual(["net-conf.json: IPv6Network"]);
  });

  test("the other backends", () => {
    expect(parse({ Network: "10.3.0.0/16", Backend: { Type: "host-gw" } }).backend).toEqual({ type: "host-gw" });
    expect(parse({ Network: "10.3.0.0/16", Backend: { Type: "alloc" } }).backend).toEqual({ type: "alloc" });
    const text = JSON.stringify({
      Network: "10.0.0.0/16",
      Backend: { Type: "extension", SubnetAddCommand: "ip route add $SUBNET via $PUBLIC_IP" },
    });
    expect(parseNetConf(text, { allowExtension: true }).backend).toEqual({
      type: "extension",
      subnetAdd: "ip route add $SUBNET via $PUBLIC_IP",
    });
  });
});

const net = { Network: "10.244.0.0/16" };
const six = { EnableIPv4: false, EnableIPv6: true, IPv6Network: "fd00::/48" };
const backend = (fields: object) => ({ ...net, Backend: fields });

/** document, field path, part of the message, part of the remedy */
const refused: readonly (readonly [unknown, string, string, string])[] = [
  [[], "", "a list is not an object", "{ and }"],
  [{}, "Network", "Network is missing, though IPv4 is enabled", '"Network": "10.244.0.0/16"'],
  [{ EnableIPv4: false }, "EnableIPv4", "both IPv4 and IPv6 are disabled", "to true"],
  [{ EnableIPv4: "yes" }, "EnableIPv4", 'the text "yes" is not true or false', "write true or false"],
  [{ EnableIPv6: "true" }, "EnableIPv6", 'the text "true" is not true or false', "write true without quotes"],
  [{ ...net, EnableIPv6: true }, "IPv6Network", "IPv6Network is missing", "fd00:10:244::/48"],
  [{ Network: "10.244.0.0" }, "Network", '"10.244.0.0" has no mask', "10.244.0.0/16"],
  [{ Network: "10.244.0.0/33" }, "Network", 'the mask length "33"', "0 to 32"],
  [{ Network: "10.244.0.0/255.255.0.0" }, "Network", "mask length", "0 to 32"],
  [{ Network: "10.244.1.0/16" }, "Network", "host bits set", "write 10.244.0.0/16"],
  [{ Network: "pods" }, "Network", '"pods" is not a network', "ADDRESS/LENGTH"],
  [{ Network: 10 }, "Network", "10 is not a text", 'write "10" in double quotes'],
  [{ Network: "fd00::/48" }, "Network", "not an IPv4 network", "IPv6Network"],
  [{ ...six, IPv6Network: "10.0.0.0/8" }, "IPv6Network", "not an IPv6 network", "Network"],
  [{ Network: "10.244.0.0/29" }, "Network", "too small for four subnets", "use /28 or wider, e.g. 10.244.0.0/28"],
  [{ ...six, IPv6Network: "fd00::/125" }, "IPv6Network", "too small", "/124"],
  [{ Network: "127.0.0.0/16" }, "Network", "127.0.0.0/8 is for loopback addresses", "private"],
  [{ Network: "224.1.0.0/16" }, "Network", "multicast", "private"],
  [{ Network: "0.0.0.0/0" }, "Network", "cannot be a pod network", "private"],
  [{ Network: "0.1.0.0/16" }, "Network", "0.0.0.0/8", "private"],
  [{ Network: "169.254.0.0/16" }, "Network", "link-local", "private"],
  [{ ...six, IPv6Network: "fe80::/10" }, "IPv6Network", "link-local", "private"],
  [{ ...six, IPv6Network: "ff00::/16" }, "IPv6Network", "multicast", "private"],
  [{ ...six, IPv6Network: "::/64" }, "IPv6Network", "cannot be a pod network", "private"],
  [{ ...net, SubnetLen: 31 }, "SubnetLen", "31 is out of range", "use 2 to 30"],
  [{ ...net, SubnetLen: 17 }, "SubnetLen", "/17 subnets do not fit into 10.244.0.0/16 four times", "use 18 to 30"],
  [{ ...net, SubnetLen: 16 }, "SubnetLen", "/16 subnets do not fit", "use 18 to 30"],
  [{ ...net, SubnetLen: "24" }, "SubnetLen", 'the text "24" is not a number', "write 24 without quotes"],
  [{ ...net, SubnetLen: 24.5 }, "SubnetLen", "24.5 is not a whole number", "2 to 30"],
  [{ ...net, SubnetLen: true }, "SubnetLen", "true is not a number", "2 to 30"],
  [{ ...six, IPv6SubnetLen: 127 }, "IPv6SubnetLen", "out of range", "2 to 126"],
  [{ ...six, IPv6SubnetLen: 49 }, "IPv6SubnetLen", "four times", "50 to 126"],
  [{ ...net, SubnetMin: "10.245.0.0" }, "SubnetMin", "not inside 10.244.0.0/16", "use 10.244.0.0 to 10.244.255.0"],
  [{ ...net, SubnetMin: "10.244.1.1" }, "SubnetMin", "not the start of a /24", "use 10.244.1.0 or 10.244.2.0"],
  [{ ...net, SubnetMax: "10.244.255.128" }, "SubnetMax", "not the start of a /24", "use 10.244.255.0"],
  [{ ...net, SubnetMin: "10.244.1.0/24" }, "SubnetMin", "has a mask", "write 10.244.1.0"],
  [{ ...net, SubnetMin: "first" }, "SubnetMin", "not an IP address", "write an IPv4 address"],
  [{ ...net, SubnetMin: "10.244.9.0", SubnetMax: "10.244.5.0" }, "SubnetMin", "above SubnetMax, 10.244.5.0", "swap"],
  [{ ...net, SubnetMax: "10.244.0.0" }, "SubnetMax", "before 10.244.1.0", '"SubnetMin": "10.244.0.0"'],
  [{ ...six, IPv6SubnetMin: "fd01::" }, "IPv6SubnetMin", "not inside fd00::/48", "use fd00:: to fd00:0:0:ffff::"],
  [{ ...six, IPv6SubnetMax: "10.0.0.0" }, "IPv6SubnetMax", "not inside fd00::/48", "use fd00::"],
  [{ ...net, Subnetlenn: 24 }, "Subnetlenn", 'unknown field "Subnetlenn" with 24', 'did you mean "SubnetLen"?'],
  [{ ...net, Colour: "red" }, "Colour", "unknown field", "known are EnableIPv4"],
  [{ Network: "10.0.0.0/8", network: "10.1.0.0/16" }, "Network", "are the same field", "keep one"],
  [backend({}), "Backend", "Backend has no Type", 'add "Type": "vxlan"'],
  [{ ...net, Backend: "vxlan" }, "Backend", 'the text "vxlan" is not an object', "{ and }"],
  [backend({ Type: 4 }), "Backend.Type", "4 is not a text", '"4" in double quotes'],
  [backend({ Type: "vxlann" }), "Backend.Type", "is not a backend", "did you mean vxlan?"],
  [backend({ Type: "gre" }), "Backend.Type", "is not a backend", "vxlan, host-gw, alloc, extension"],
  [
    backend({ Type: "udp" }),
    "Backend.Type",
    "udp comes in a later version of Twill",
    "vxlan, host-gw, alloc, extension",
  ],
  [backend({ Type: "ipip" }), "Backend.Type", "ipip comes in a later version", "today"],
  [backend({ Type: "wireguard" }), "Backend.Type", "wireguard comes in a later version", "today"],
  [backend({ Type: "aws-vpc" }), "Backend.Type", "aws-vpc comes in a later version", "today"],
  [backend({ Type: "extension" }), "Backend", "commands of this file as root by a shell", "--allow-extension-commands"],
  [backend({ Type: "vxlan", VNI: 0 }), "Backend.VNI", "0 is out of range", "1 to 16777215"],
  [backend({ Type: "vxlan", VNI: 16777216 }), "Backend.VNI", "out of range", "1 to 16777215"],
  [backend({ Type: "vxlan", VNI: "1" }), "Backend.VNI", "not a number", "write 1 without quotes"],
  [backend({ Type: "vxlan", Port: 65536 }), "Backend.Port", "out of range", "1 to 65535"],
  [backend({ Type: "vxlan", MTU: 67 }), "Backend.MTU", "out of range", "68 to 65535"],
  [{ ...six, Backend: { Type: "vxlan", MTU: 1279 } }, "Backend.MTU", "too small for IPv6", "1280"],
  [backend({ Type: "host-gw", VNI: 1 }), "Backend.VNI", "VNI is an option of vxlan, not of host-gw", "Backend.Type"],
  [
    backend({ Type: "vxlan", PSK: "x" }),
    "Backend.PSK",
    "PSK is an option of wireguard, not of vxlan",
    "change Backend.Type",
  ],
  [
    backend({ Type: "alloc", Directrouting: true }),
    "Backend.Directrouting",
    "an option of vxlan and ipip, not of alloc",
    "remove it",
  ],
  [backend({ Type: "vxlan", DirectRoutng: true }), "Backend.DirectRoutng", "unknown field", '"DirectRouting"?'],
];

describe("each limit has its own error", () => {
  for (const [document, path, message, remedy] of refused) {
    test(JSON.stringify(document), () => {
      const error = failure(JSON.stringify(document, null, 2));
      expect(error.code).toBe("invalid");
      expect(error.message).toContain(message);
      expect(error.remedy ?? "").toContain(remedy);
      expect(error.object).toMatch(/^\/etc\/kube-flannel\/net-conf\.json line \d+, column \d+/);
      if (path !== "") expect(error.object).toEndWith(`: ${path}`);
    });
  }
});

test("the text itself: prose behind a value, a trailing comma, out of IEEE range", () => {
  const prose = failure(
    '{"Network": "10.0.0.0/8", "Backend": {"Type": "vxlan", "Directrouting": true by default absent}}',
  );
  expect(prose.message).toBe('after the value true of "Directrouting" only , or } may follow');
  expect(prose.remedy).toBe("remove `by default absent`");
  expect(failure('{"Network": "10.0.0.0/8",}').message).toBe("no comma may stand before }");
  expect(failure('{"Network": "10.0.0.0/8", "SubnetLen": 1e400}').message).toContain("1e400 is not a whole number");
  expect(failure('{"Network": "10.0.0.0/8", "SubnetLen": 9007199254740993}').message).toContain("out of range");
});

function failure(text: string): JsonError {
  try {
    parseNetConf(text, { source: "/etc/kube-flannel/net-conf.json" });
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

function randomRange(random: Random, network: string, shortest: number, longest: number): NetworkRange {
  const subnetLength = shortest + random.below(longest - shortest + 1);
  const count = Number(subnetCount(prefix(network), subnetLength));
  const low = random.below(Math.min(count, 1 << 30));
  const high = low + random.below(Math.min(count, 1 << 30) - low);
  return {
    network: prefix(network),
    subnetLength,
    subnetMin: subnetAt(prefix(network), subnetLength, BigInt(low)),
    subnetMax: subnetAt(prefix(network), subnetLength, BigInt(high)),
  };
}

function randomNetwork(random: Random): ClusterNetwork {
  const families = random.below(3);
  const backends: readonly BackendConfig[] = [
    { ...vxlan, vni: random.below(0xffffff) + 1, port: random.below(65535) + 1, gbp: random.below(2) === 1 },
    { ...vxlan, learning: true, directRouting: true, mtu: 1280 + random.below(64000) },
    { type: "host-gw" },
    { type: "alloc" },
    { type: "extension", preStartup: "echo $HOME | tr a 'b\"'", subnetRemove: "" },
  ];
  return {
    ...(families !== 1 && { ipv4: randomRange(random, pick(random, ["10.0.0.0/8", "10.244.0.0/16"]), 18, 30) }),
    ...(families !== 0 && { ipv6: randomRange(random, pick(random, ["fd00::/48", "2001:db8::/60"]), 62, 126) }),
    backend: pick(random, backends),
    enableNFTables: random.below(2) === 1,
  };
}

test("what is written is read again as the same network", () => {
  const random = seededRandom(7);
  for (let round = 0; round < 2000; round++) {
    const network = randomNetwork(random);
    const text = formatNetConf(network);
    const again = parseNetConf(text, { allowExtension: true });
    expect(again).toEqual(network);
    expect(formatNetConf(again)).toBe(text);
    expect(sameNetwork(network, again)).toBe(true);
  }
});

test("differences are said field by field", () => {
  const before = parse({ Network: "10.3.0.0/16" });
  const after = parse({
    Network: "10.3.0.0/16",
    SubnetMax: "10.3.9.0",
    Backend: { Type: "vxlan", VNI: 42, MTU: 1400 },
  });
  expect(networkDifferences(before, after)).toEqual([
    "SubnetMax: 10.3.255.0 becomes 10.3.9.0",
    "Backend.VNI: 1 becomes 42",
    "Backend.MTU: 1400 is new",
  ]);
  expect(sameNetwork(before, after)).toBe(false);
  expect(networkDifferences(after, before)).toContain("Backend.MTU: 1400 is gone");
});

test("random field values are accepted or refused with a TwillError, never otherwise", () => {
  const random = seededRandom(11);
  const names = ["EnableIPv4", "EnableIPv6", "Network", "SubnetLen", "SubnetMin", "SubnetMax", "IPv6Network"];
  const odd = [
    null,
    true,
    "",
    "10.0.0.0/8",
    "10.9.0.0",
    "fd00::/48",
    "::",
    "/",
    -1,
    24,
    1e300,
    [],
    {},
    { Type: "vxlan" },
  ];
  let accepted = 0;
  for (let round = 0; round < 5000; round++) {
    const document = Object.fromEntries(
      Array.from({ length: random.below(6) }, () => [pick(random, [...names, "Backend"]), pick(random, odd)]),
    );
    try {
      parse(document);
      accepted++;
    } catch (error) {
      if (!(error instanceof TwillError) || error.code !== "invalid") throw error;
    }
  }
  expect(accepted).toBeGreaterThan(0);
});

import { describe, expect, test } from "bun:test";
import type { Address } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import type { Mac } from "../../base/mac.ts";
import type { Prefix } from "../../base/prefix.ts";
import { pick, seededRandom } from "../../base/random.ts";
import { CniError, cniCodeOf, formatError } from "./cni-error.ts";
import { parseEssentials, parsePluginConfig, requestedAddresses, requestedMac } from "./config.ts";
import { cniCommands } from "./environment.ts";
import { cniVersions, formatVersions, parseVersion, versionIn } from "./version.ts";

const minimal = { cniVersion: "1.1.0", name: "twill", type: "twill-cni" };
const macvlan = { ...minimal, attachment: "macvlan", master: "eth0", ipam: { subnet: "192.168.7.0/24" } };
const parse = (fields: object, command: (typeof cniCommands)[number] = "ADD") =>
  parsePluginConfig(JSON.stringify({ ...minimal, ...fields }), command);

describe("network configuration", () => {
  test("the least", () => {
    expect(parse({})).toEqual({
      cniVersion: "1.1.0",
      name: "twill",
      attachment: { type: "routed" },
      socket: "/run/twill/agent.sock",
      ips: [],
    });
    expect(parse({ cniVersion: undefined }).cniVersion).toBe("0.1.0");
  });

  test("as libcni hands it over: capabilities, runtimeConfig, args", () => {
    const config = parse({
      cniVersions: ["1.0.0", "1.1.0"],
      capabilities: { ips: true, mac: true, portMappings: true },
      runtimeConfig: {
        ips: ["10.244.1.7/24", "fd00::7"],
        mac: "0E:12:34:56:78:9A",
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
        bandwidth: { ingressRate: 2048 },
        dns: { servers: ["10.0.0.10"], searches: ["svc"], options: ["ndots:5"] },
      },
      args: { labels: { appVersion: "1.0" }, cni: { ips: ["10.244.1.9"], labels: [] } },
      dns: { nameservers: ["1.1.1.1"] },
    });
    expect(config).toMatchObject({
      ips: ["10.244.1.7", "fd00::7"],
      mac: "0e:12:34:56:78:9a",
      dns: { nameservers: ["10.0.0.10"], search: ["svc"], options: ["ndots:5"] },
    });
    expect(requestedAddresses(config, { ip: "10.1.1.1" as Address })).toEqual(config.ips);
    expect(requestedMac(config, { mac: "0a:00:00:00:00:01" as Mac })).toBe("0e:12:34:56:78:9a" as Mac);
  });

  test("wishes: args.cni.ips before CNI_ARGS, at most one address a family", () => {
    const asked = parse({ args: { cni: { ips: ["10.244.1.9"] } } });
    expect(requestedAddresses(asked, { ip: "10.1.1.1" as Address })).toEqual(["10.244.1.9" as Address]);
    expect(requestedAddresses(parse({}), { ip: "10.1.1.1" as Address })).toEqual(["10.1.1.1" as Address]);
    const two = parse({ runtimeConfig: { ips: ["10.1.1.1", "10.1.1.2"] } });
    expect(() => requestedAddresses(two, {})).toThrow("two addresses of one family");
  });

  test("bridge", () => {
    const config = parse({ attachment: "Bridge", hairpinMode: true, isDefaultGateway: false, mtu: 1400 });
    expect(config).toMatchObject({
      attachment: { type: "bridge", bridge: "cni0", hairpinMode: true },
      isDefaultGateway: false,
      mtu: 1400,
    });
  });

  test("macvlan, with a network of its own", () => {
    expect(parse({ ...macvlan, mode: "private" })).toMatchObject({
      attachment: { type: "macvlan", master: "eth0", mode: "private" },
      isDefaultGateway: false,
      ipam: {
        rangeSets: [
          [{ subnet: "192.168.7.0/24", first: "192.168.7.1", last: "192.168.7.254", gateway: "192.168.7.1" }],
        ],
        routes: [],
      },
    });
  });

  test("ranges in host-local's words, two families, routes", () => {
    const { ipam } = parse({
      ipam: {
        type: "twill",
        ranges: [
          [{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.9", rangeEnd: "10.1.2.99", gateway: "10.1.2.254" }],
          [{ subnet: "fd00:1::/64" }],
        ],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "10.9.0.0/16", gw: "10.1.2.8" }],
      },
    });
    expect(ipam).toEqual({
      rangeSets: [
        [
          {
            subnet: "10.1.2.0/24" as Prefix,
            first: "10.1.2.9" as Address,
            last: "10.1.2.99" as Address,
            gateway: "10.1.2.254" as Address,
          },
        ],
        [
          {
            subnet: "fd00:1::/64" as Prefix,
            first: "fd00:1::1" as Address,
            last: "fd00:1::ffff:ffff:ffff:ffff" as Address,
            gateway: "fd00:1::1" as Address,
          },
        ],
      ],
      routes: [{ dst: "0.0.0.0/0" as Prefix }, { dst: "10.9.0.0/16" as Prefix, gw: "10.1.2.8" as Address }],
    });
    const replaced = parse({ ...macvlan, runtimeConfig: { ipRanges: [[{ subnet: "10.7.0.0/24" }]] } });
    expect(replaced.ipam?.rangeSets.flat().map((range) => range.subnet)).toEqual(["10.7.0.0/24" as Prefix]);
  });

  test("prevResult of any version; CHECK needs one", () => {
    const prevResult = { cniVersion: "0.4.0", ips: [{ version: "4", address: "10.0.0.5/32" }] };
    expect(parse({ prevResult }, "CHECK").prevResult?.ips).toEqual([
      { address: { address: "10.0.0.5" as Address, length: 32 } },
    ]);
    expect(code(() => parse({}, "CHECK"))).toBe(7);
    expect(code(() => parse({ cniVersion: "0.3.1" }, "CHECK"))).toBe(1);
    expect(parse({ prevResult: null }, "DEL").prevResult).toBeUndefined();
  });

  test("GC: either name of the list; its absence is not an empty list", () => {
    const list = [{ containerID: "abc", ifname: "eth0" }];
    const read = [{ containerId: "abc", ifname: "eth0" }];
    expect(parse({ "cni.dev/valid-attachments": list, "cni.dev/attachments": list }, "GC").validAttachments).toEqual(
      read,
    );
    expect(parse({ "cni.dev/attachments": list }, "GC").validAttachments).toEqual(read);
    expect(parse({ "cni.dev/valid-attachments": [] }, "GC").validAttachments).toEqual([]);
    expect(code(() => parse({}, "GC"))).toBe(7);
    expect(code(() => parse({ "cni.dev/valid-attachments": null }, "GC"))).toBe(7);
    expect(parse({ "cni.dev/valid-attachments": list }, "ADD").validAttachments).toBeUndefined();
  });
});

test("the essentials are read whatever is wrong with the rest", () => {
  const broken = { ...minimal, attachment: "gone", colour: "red", prevResult: { ips: 7 }, socket: "/s" };
  expect(parseEssentials(JSON.stringify(broken))).toEqual({ cniVersion: "1.1.0", name: "twill", socket: "/s" });
  expect(code(() => parseEssentials("{}"))).toBe(7);
  expect(code(() => parseEssentials("{"))).toBe(6);
  expect(code(() => parseEssentials('{"cniVersion":"3.0.0","name":"x"}'))).toBe(1);
});

function failure(attempt: () => unknown): CniError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error("accepted");
}
const code = (attempt: () => unknown): number => failure(attempt).cniCode;

describe("each mistake has its code and names its field", () => {
  for (const [fields, cniCode, message] of [
    [{ cniVersion: "2.0.0" }, 1, '"2.0.0" is not supported'],
    [{ cniVersion: "one" }, 6, "is not a version"],
    [{ name: "a/b" }, 7, "is not a network name"],
    [{ name: undefined }, 7, "name is missing"],
    [{ type: undefined }, 7, "type is missing"],
    [{ colour: "red" }, 7, 'unknown field "colour" with the text "red"'],
    [{ Bridge: "cni0" }, 7, 'unknown field "Bridge"'],
    [{ vlan: 7 }, 2, "the field vlan with 7 is not supported"],
    [{ ipMasq: true }, 2, "the field ipMasq with true is not supported"],
    [{ delegate: {} }, 2, "delegate"],
    [{ ipam: { type: "host-local", subnet: "10.1.0.0/24" } }, 2, 'ipam.type "host-local" is not supported'],
    [{ attachment: "sriov" }, 7, "is not known"],
    [{ hairpinMode: true }, 7, "hairpinMode is an option of the attachment bridge, not of routed"],
    [{ attachment: "bridge", master: "eth0" }, 7, "master is an option of the attachment macvlan, not of bridge"],
    [{ attachment: "macvlan", ipam: { subnet: "10.1.0.0/24" } }, 7, "macvlan needs a master"],
    [{ attachment: "macvlan", master: "eth0" }, 7, "ipam is missing"],
    [{ ...macvlan, mode: "brigde" }, 7, "is not known"],
    [{ ...macvlan, master: "eth0:1" }, 7, "is not an interface name"],
    [{ mtu: "1450" }, 7, "is not a number"],
    [{ mtu: 67 }, 7, "out of range"],
    [{ ...macvlan, mtu: 1279, ipam: { subnet: "fd00::/64" } }, 7, "too small for IPv6"],
    [{ socket: "agent.sock" }, 7, "is not the path of a socket"],
    [{ socket: `/${"a".repeat(107)}` }, 7, "is not the path of a socket"],
    [{ runtimeConfig: { mac: "01:00:5e:00:00:01" } }, 7, "not the address of one interface"],
    [{ runtimeConfig: { ips: ["10.1.1.1", "10.1.1.1/24"] } }, 7, "asked for twice"],
    [{ ipam: {} }, 7, "there is no range"],
    [{ ipam: { ranges: [[]] } }, 7, "there is no range"],
    [{ ipam: { gateway: "10.1.0.1" } }, 7, "gateway needs a subnet"],
    [{ ipam: { subnet: "10.1.0.0/31" } }, 7, "too small"],
    [{ ipam: { subnet: "10.1.0.7/24" } }, 7, "host bits set"],
    [{ ipam: { subnet: "127.0.0.0/24" } }, 7, "loopback"],
    [
      { ipam: { subnet: "10.1.0.0/24", rangeEnd: "10.2.0.9" } },
      7,
      "rangeEnd 10.2.0.9 is not a pod address of 10.1.0.0/24",
    ],
    [{ ipam: { subnet: "10.1.0.0/24", rangeStart: "10.1.0.255" } }, 7, "rangeStart 10.1.0.255"],
    [{ ipam: { subnet: "10.1.0.0/24", rangeStart: "10.1.0.9", rangeEnd: "10.1.0.8" } }, 7, "above rangeEnd"],
    [{ ipam: { subnet: "10.1.0.0/24", rangeEnd: "10.1.0.1" } }, 7, "is the gateway's"],
    [{ ipam: { subnet: "10.1.0.0/24", routes: [{ dst: "::/0", gw: "10.1.0.1" }] } }, 7, "other family"],
    [{ prevResult: { ips: [{ address: "x" }] } }, 7, "is not a network"],
  ] as const) {
    test(`code ${cniCode}: ${JSON.stringify(fields).slice(0, 90)}`, () => {
      const error = failure(() => parse(fields));
      expect(error.message).toContain(message);
      expect(error.cniCode).toBe(cniCode);
      expect(error.remedy).toBeString();
    });
  }

  test("no JSON is code 6, with the place", () => {
    const error = failure(() => parsePluginConfig('{"name": "x",}', "ADD"));
    expect(error.cniCode).toBe(6);
    expect(error.object).toBe("network configuration line 1, column 13");
    expect(error.message).toContain("no comma may stand before }");
    expect(code(() => parsePluginConfig("", "ADD"))).toBe(6);
    expect(code(() => parsePluginConfig(new Uint8Array([0xff]), "ADD"))).toBe(6);
  });
});

describe("answers", () => {
  test("VERSION repeats the caller's version and never fails", () => {
    expect(JSON.parse(formatVersions('{"cniVersion":"0.4.0"}'))).toEqual({
      cniVersion: "0.4.0",
      supportedVersions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
    for (const stdin of ["", "{", "[]", "null", '{"cniVersion":7}', '{"cniVersion":"9.9.9"}']) {
      expect(JSON.parse(formatVersions(stdin)).cniVersion).toBe("1.1.0");
      expect(versionIn(stdin)).toBeUndefined();
    }
    for (const version of cniVersions) expect(parseVersion(version)).toBe(version);
  });

  test("an error in the specification's words", () => {
    const error = new CniError(11, "the agent is away", {
      operation: "connect to",
      object: "/run/twill/agent.sock",
      remedy: "start twill-agent",
      cause: new TwillError("io", "no such file"),
    });
    expect(formatError(error, "1.0.0")).toBe(
      '{"cniVersion":"1.0.0","code":11,"msg":"connect to /run/twill/agent.sock: the agent is away","details":"start twill-agent; no such file"}',
    );
    expect(formatError("odd", "1.1.0")).toBe('{"cniVersion":"1.1.0","code":199,"msg":"odd"}');
  });

  test("codes of errors that no place gave one", () => {
    expect(cniCodeOf(new TwillError("unavailable", ""))).toBe(11);
    expect(cniCodeOf(new TwillError("invalid", ""))).toBe(7);
    expect(cniCodeOf(new TwillError("corrupt", ""))).toBe(6);
    expect(cniCodeOf(new TwillError("io", ""))).toBe(5);
    // 3 would tell the runtime that nothing needs cleaning up.
    expect(cniCodeOf(new TwillError("not-found", ""))).toBeGreaterThanOrEqual(100);
    expect(cniCodeOf(new TypeError("bug"))).toBeGreaterThanOrEqual(100);
  });
});

test("random configurations are accepted or refused with a CniError, never otherwise", () => {
  const random = seededRandom(17);
  const text = JSON.stringify({
    ...macvlan,
    runtimeConfig: { ips: ["192.168.7.9"], mac: "0e:12:34:56:78:9a" },
    prevResult: { interfaces: [{ name: "a" }], ips: [{ address: "10.0.0.1/8", interface: 0 }] },
    "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }],
  });
  let accepted = 0;
  for (let round = 0; round < 5000; round++) {
    const at = random.below(text.length);
    const spoilt = text.slice(0, at) + pick(random, [...'0"a{}[],:./']) + text.slice(at + random.below(3));
    try {
      parsePluginConfig(spoilt, pick(random, cniCommands));
      accepted++;
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
    }
  }
  expect(accepted).toBeGreaterThan(100);
});

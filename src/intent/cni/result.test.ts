import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, addressFromBytes } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import { type InterfaceAddress, type Prefix, prefixOf } from "../../base/prefix.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import { rootOf } from "../schema.ts";
import { readResult } from "./read-result.ts";
import { type CniResult, formatResult } from "./result.ts";
import { type CniVersion, cniVersions } from "./version.ts";

const at = (address: string, length: number): InterfaceAddress => ({ address: address as Address, length });
const read = (text: string, fallback: CniVersion = "1.1.0") => readResult(rootOf(parseJson(text)), fallback);

const result: CniResult = {
  interfaces: [
    { name: "twl0123456789a", mac: "0a:00:00:00:00:01", mtu: 1450 },
    {
      name: "eth0",
      mac: "0a:00:00:00:00:02",
      mtu: 1450,
      sandbox: "/var/run/netns/blue",
      socketPath: "/path/to/vhost/fd",
      pciID: "8086:9a01",
    },
  ],
  ips: [
    { interface: 1, address: at("10.244.1.5", 32), gateway: "169.254.1.1" as Address },
    { interface: 1, address: at("fd00:10:244:1::5", 128), gateway: "fe80::1" as Address },
  ],
  routes: [
    { dst: "0.0.0.0/0" as Prefix, gw: "169.254.1.1" as Address, mtu: 1400, advmss: 1340, priority: 100 },
    { dst: "::/0" as Prefix, gw: "fe80::1" as Address, table: 50, scope: 253 },
  ],
  dns: { nameservers: ["10.1.0.1"], domain: "local", search: ["a.b"], options: ["ndots:5"] },
};

const dns = { nameservers: ["10.1.0.1"], domain: "local", search: ["a.b"], options: ["ndots:5"] };
const families = {
  ip4: { ip: "10.244.1.5/32", gateway: "169.254.1.1", routes: [{ dst: "0.0.0.0/0", gw: "169.254.1.1" }] },
  ip6: { ip: "fd00:10:244:1::5/128", gateway: "fe80::1", routes: [{ dst: "::/0", gw: "fe80::1" }] },
  dns,
};
const plainInterfaces = [
  { name: "twl0123456789a", mac: "0a:00:00:00:00:01" },
  { name: "eth0", mac: "0a:00:00:00:00:02", sandbox: "/var/run/netns/blue" },
];
const plainRoutes = [
  { dst: "0.0.0.0/0", gw: "169.254.1.1" },
  { dst: "::/0", gw: "fe80::1" },
];
const versioned = {
  interfaces: plainInterfaces,
  ips: [
    { version: "4", interface: 1, address: "10.244.1.5/32", gateway: "169.254.1.1" },
    { version: "6", interface: 1, address: "fd00:10:244:1::5/128", gateway: "fe80::1" },
  ],
  routes: plainRoutes,
  dns,
};
const unversioned = { ...versioned, ips: versioned.ips.map(({ version: _, ...ip }) => ip) };
const newest = {
  ...unversioned,
  interfaces: [
    { ...plainInterfaces[0], mtu: 1450 },
    { ...plainInterfaces[1], mtu: 1450, socketPath: "/path/to/vhost/fd", pciID: "8086:9a01" },
  ],
  routes: [
    { ...plainRoutes[0], mtu: 1400, advmss: 1340, priority: 100 },
    { ...plainRoutes[1], table: 50, scope: 253 },
  ],
};
const shapes: Readonly<Record<CniVersion, object>> = {
  "0.1.0": families,
  "0.2.0": families,
  "0.3.0": versioned,
  "0.3.1": versioned,
  "0.4.0": versioned,
  "1.0.0": unversioned,
  "1.1.0": newest,
};

describe("the shape of each version", () => {
  for (const version of cniVersions) {
    test(version, () => {
      const text = formatResult(result, version);
      expect(JSON.parse(text)).toEqual({ cniVersion: version, ...shapes[version] });
      // What was read from it says the same again in every version up to that one.
      const again = read(text);
      for (const older of cniVersions.slice(0, cniVersions.indexOf(version) + 1)) {
        expect(formatResult(again, older)).toBe(formatResult(result, older));
      }
    });
  }

  test("the newest loses nothing", () => expect(read(formatResult(result, "1.1.0"))).toEqual(result));

  test("what is absent is not written", () => {
    const bare: CniResult = { interfaces: [], ips: [{ address: at("10.1.2.3", 24) }], routes: [], dns: {} };
    expect(formatResult(bare, "1.0.0")).toBe(
      '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.1.2.3/24"}],"routes":[]}',
    );
    expect(formatResult(bare, "0.2.0")).toBe('{"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24"}}');
  });
});

describe("what others write", () => {
  test("the documented prevResult of SPEC.md 0.4.0, which has no cniVersion", () => {
    const text = `{
      "ips": [{"version": "4", "address": "10.0.0.5/32", "interface": 2}],
      "interfaces": [
        {"name": "cni0", "mac": "00:11:22:33:44:55"},
        {"name": "veth3243", "mac": "55:44:33:22:11:11"},
        {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/var/run/netns/blue"}
      ],
      "dns": {"nameservers": ["10.1.0.1"]}
    }`;
    expect(read(text, "0.4.0")).toEqual({
      interfaces: [
        { name: "cni0", mac: "00:11:22:33:44:55" },
        { name: "veth3243", mac: "55:44:33:22:11:11" },
        { name: "eth0", mac: "99:88:77:66:55:44", sandbox: "/var/run/netns/blue" },
      ],
      ips: [{ address: at("10.0.0.5", 32), interface: 2 }],
      routes: [],
      dns: { nameservers: ["10.1.0.1"] },
    });
  });

  test("`ip` of 0.3.0, null for nothing, unknown fields", () => {
    const text = '{"cniVersion":"0.3.0","ip":[{"version":"4","address":"10.1.2.3/24"}],"routes":null,"dns":{},"x":1}';
    expect(read(text).ips).toEqual([{ address: at("10.1.2.3", 24) }]);
  });

  for (const [text, message] of [
    ['{"cniVersion":"9.0.0"}', '"9.0.0" is not supported'],
    ['{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3"}]}', "has no mask"],
    ['{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24","interface":0}]}', "there is no interface 0"],
    ['{"cniVersion":"0.4.0","ips":[{"address":"10.1.2.3/24","version":"6"}]}', "not of IP version 6"],
    ['{"cniVersion":"1.0.0","routes":[{"gw":"10.1.2.1"}]}', "dst is missing"],
    ['{"cniVersion":"0.2.0","ip4":{}}', "ip is missing"],
    ["[]", "is not an object"],
  ] as const) {
    test(`refused: ${text}`, () => expect(() => read(text)).toThrow(message));
  }
});

describe("Debian's reference plugins (CNI up to 1.0.0)", () => {
  const variables = {
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: "oracle",
    CNI_NETNS: "/proc/self/ns/net",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/usr/lib/cni",
  };
  /** In a network namespace that goes with the process: nothing that the plugin might do could stay. */
  function reference(type: string, config: object): string {
    const command = ["timeout", "20", "unshare", "--net", `/usr/lib/cni/${type}`];
    const stdin = new TextEncoder().encode(JSON.stringify({ name: "oracle", type, ...config }));
    const { exitCode, stdout } = Bun.spawnSync(command, { stdin, env: { ...process.env, ...variables } });
    expect({ exitCode, stdout: stdout.toString() }).toMatchObject({ exitCode: 0 });
    return stdout.toString();
  }

  for (const version of ["0.3.0", "0.3.1", "0.4.0", "1.0.0"] as const) {
    test(`portmap without ports prints our result of ${version} again, and loses nothing`, () => {
      const ours = JSON.parse(formatResult(result, version));
      const theirs = reference("portmap", { cniVersion: version, prevResult: ours });
      expect(JSON.parse(theirs)).toEqual(ours);
    });
  }

  for (const version of cniVersions.filter((known) => known !== "1.1.0")) {
    test(`host-local's result of ${version} is read`, () => {
      const dataDir = mkdtempSync(join(tmpdir(), "twill-oracle-"));
      try {
        const ranges = [[{ subnet: "10.9.8.0/24" }], [{ subnet: "fd00:9::/64" }]];
        const ipam = {
          type: "host-local",
          ranges,
          routes: [{ dst: "0.0.0.0/0" }, { dst: "fd00::/8", gw: "fd00:9::7" }],
          dataDir,
        };
        expect(read(reference("host-local", { cniVersion: version, ipam }), version)).toEqual({
          interfaces: [],
          ips: [
            { address: at("10.9.8.2", 24), gateway: "10.9.8.1" as Address },
            { address: at("fd00:9::2", 64), gateway: "fd00:9::1" as Address },
          ],
          routes: [{ dst: "0.0.0.0/0" as Prefix }, { dst: "fd00::/8" as Prefix, gw: "fd00:9::7" as Address }],
          dns: {},
        });
      } finally {
        rmSync(dataDir, { recursive: true });
      }
    });
  }
});

function randomResult(random: Random): CniResult {
  const v4 = () => addressFromBytes(random.bytes(4));
  const v6 = () => addressFromBytes(random.bytes(16));
  const some = <T>(make: () => T): T[] => Array.from({ length: random.below(4) }, make);
  const interfaces = some(() => ({
    name: `eth${random.below(9)}`,
    ...(random.below(2) === 0 && { sandbox: "/run/netns/a b" }),
    ...(random.below(2) === 0 && { mtu: random.below(65536) }),
  }));
  return {
    interfaces,
    ips: some(() => ({
      address: random.below(2) === 0 ? { address: v4(), length: random.below(33) } : { address: v6(), length: 64 },
      ...(interfaces.length > 0 && { interface: random.below(interfaces.length) }),
      ...(random.below(2) === 0 && { gateway: pick(random, [v4(), v6()]) }),
    })),
    routes: some(() => ({ dst: prefixOf(v4(), random.below(33)), gw: v4(), priority: random.below(1000) })),
    ...(random.below(2) === 0 && { dns: { search: ["x"] } }),
  };
}

test("random results survive 1.1.0; mutations are read or refused with a TwillError", () => {
  const random = seededRandom(13);
  for (let round = 0; round < 2000; round++) {
    const original = randomResult(random);
    const text = formatResult(original, "1.1.0");
    expect(read(text)).toEqual(original);
    const place = random.below(text.length);
    const spoilt = text.slice(0, place) + pick(random, [...'"{}[]:,.09a\\']) + text.slice(place + random.below(3));
    try {
      read(spoilt, pick(random, cniVersions));
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
    }
  }
});

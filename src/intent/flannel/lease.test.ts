import { describe, expect, test } from "bun:test";
import { type Address, addressFromBytes } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { macFromBytes } from "../../base/mac.ts";
import { type Prefix, prefixOf } from "../../base/prefix.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import type { Lease } from "../../model/network.ts";
import { formatEtcdLease, parseEtcdLease, parseEtcdLeaseKey } from "./etcd-lease.ts";
import { decodeLease, encodeLease } from "./lease.ts";

const lease: Lease = {
  node: "node-1.example",
  subnets: ["10.244.1.0/24" as Prefix, "fd00:10:244:1::/64" as Prefix],
  addresses: ["192.168.1.1" as Address, "2001:db8::1" as Address],
  backendType: "vxlan",
  backendData: { 4: { VNI: 1, VtepMAC: "c6:d2:32:6f:8f:44" }, 6: { VNI: 1, VtepMAC: "c6:d2:32:6f:8f:45" } },
  underlays: ["192.168.1.0/24" as Prefix],
  peerPort: 8473,
};
const text = (value: Lease): string => new TextDecoder().decode(encodeLease(value));
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe("the nodes object", () => {
  /** Version 1 as it was first written: this text must be readable for ever. */
  const stored =
    '{"version":1,"node":"node-1.example","subnets":["10.244.1.0/24","fd00:10:244:1::/64"],' +
    '"addresses":["192.168.1.1","2001:db8::1"],"backendType":"vxlan","backendData":' +
    '{"4":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"},"6":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:45"}},' +
    '"underlays":["192.168.1.0/24"],"peerPort":8473}';

  test("golden, both ways", () => {
    expect(text(lease)).toBe(stored);
    expect(decodeLease(new TextEncoder().encode(stored))).toEqual(lease);
  });

  test("the id of the machine is kept, where there is one", () => {
    const named: Lease = { ...lease, id: "0123456789abcdef" };
    expect(decodeLease(encodeLease(named))).toEqual(named);
  });

  test("where it stands in a change of configuration, and the MTU of its underlay", () => {
    const switching: Lease = {
      ...lease,
      underlayMtu: 1500,
      standing: {
        epoch: 7,
        offers: [
          { id: "6", backendType: "vxlan", backendData: { 4: { VNI: 1, VtepMAC: "c6:d2:32:6f:8f:44" } } },
          { id: "7", backendType: "host-gw", backendData: {} },
        ],
        sends: "6",
      },
    };
    expect(decodeLease(encodeLease(switching))).toEqual(switching);
    const later = JSON.parse(text(switching));
    later.standing.colour = "red";
    later.standing.offers[0].colour = "red";
    expect(decodeLease(bytes(later))).toEqual(switching);
  });

  test("fields of a later writer are left alone, a later version is unsupported", () => {
    expect(decodeLease(bytes({ ...JSON.parse(stored), colour: "red" }))).toEqual(lease);
    expect(() => decodeLease(bytes({ version: 2, everything: "else" }))).toThrow(
      expect.objectContaining({ code: "unsupported", remedy: "upgrade this node's Twill" }),
    );
  });

  for (const [change, message] of [
    [{ version: 0 }, "0 is out of range"],
    [{ version: "1" }, "is not a number"],
    [{ version: undefined }, "version is missing"],
    [{ node: "../etc" }, "is not a node name"],
    [{ node: "Node1" }, "is not a node name"],
    [{ node: "a".repeat(254) }, "is not a node name"],
    [{ node: "" }, "is not a node name"],
    [{ id: "../x" }, "is not the id of a machine"],
    [{ standing: { epoch: -1, offers: [], sends: "1" } }, "out of range"],
    [{ standing: { epoch: 1, offers: [], sends: "../1" } }, "is not the id of a configuration"],
    [{ standing: { epoch: 1, offers: [{ id: "1", backendType: "a b" }], sends: "1" } }, "is not the name of a backend"],
    [{ subnets: ["10.244.1.1/24"] }, "host bits set"],
    [{ subnets: ["127.0.0.0/8"] }, "loopback"],
    [{ subnets: ["0.0.0.0/0"] }, "cannot be a node's subnet"],
    [{ subnets: ["10.244.1.0/24", "10.244.1.0/25"] }, "overlap"],
    [{ subnets: Array.from({ length: 65 }, (_, index) => `10.${index}.0.0/24`) }, "a list of 65"],
    [{ subnets: "10.244.1.0/24" }, "is not a list"],
    [{ addresses: ["192.168.1.1", "192.168.1.2"] }, "two addresses of one family"],
    [{ addresses: ["224.0.0.1"] }, "multicast"],
    [{ addresses: ["fe80::1"] }, "link-local"],
    [{ addresses: ["192.168.1.1/24"] }, "not an IP address"],
    [{ backendType: "vx lan" }, "not the name of a backend"],
    [{ backendData: { 5: {} } }, "unknown field"],
    [{ backendData: [] }, "is not an object"],
    [{ underlays: ["192.168.1.7/24"] }, "host bits set"],
    [{ peerPort: 65536 }, "out of range"],
  ] as const) {
    test(`corrupt: ${JSON.stringify(change).slice(0, 60)} ${message}`, () => {
      const attempt = () => decodeLease(bytes({ ...JSON.parse(stored), ...change }), "nodes/node-1");
      expect(attempt).toThrow(message);
      expect(attempt).toThrow(expect.objectContaining({ code: "corrupt" }));
      expect(attempt).toThrow(expect.objectContaining({ object: expect.stringContaining("nodes/node-1") }));
    });
  }

  test("decode → encode → decode of random leases; mutations are corrupt or unsupported, never otherwise", () => {
    const random = seededRandom(5);
    for (let round = 0; round < 3000; round++) {
      const original = randomLease(random);
      const encoded = encodeLease(original);
      expect(decodeLease(encoded)).toEqual(original);
      const spoilt = Uint8Array.from(encoded);
      for (let count = random.below(4); count >= 0; count--) spoilt[random.below(spoilt.length)] = random.below(256);
      try {
        const read = decodeLease(spoilt);
        expect(decodeLease(encodeLease(read))).toEqual(read);
      } catch (error) {
        if (!(error instanceof TwillError) || !/^(corrupt|unsupported)$/.test(error.code)) throw error;
      }
    }
  });

  test("random bytes are corrupt", () => {
    const random = seededRandom(6);
    for (let round = 0; round < 2000; round++) {
      expect(() => decodeLease(random.bytes(random.below(64)))).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
    expect(() => decodeLease(new Uint8Array(70000))).toThrow(expect.objectContaining({ code: "corrupt" }));
  });
});

describe("flanneld's lease in etcd", () => {
  /** Flannel's Documentation/reservations.md. */
  const documented = {
    key: "10.5.52.0-24",
    value:
      '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
  };

  test("the documented lease, both ways, byte by byte", () => {
    const read = parseEtcdLease(documented);
    expect(read).toEqual({
      node: "192.168.64.3",
      subnets: ["10.5.52.0/24" as Prefix],
      addresses: ["192.168.64.3" as Address],
      backendType: "vxlan",
      backendData: { 4: { VNI: 1, VtepMAC: "c6:d2:32:6f:8f:44" } },
    });
    expect(formatEtcdLease(read)).toEqual(documented);
  });

  test("a lease without backend, as Flannel's own test writes it", () => {
    const bare = { key: "10.1.5.0-24", value: '{"PublicIP":"1.2.3.4","PublicIPv6":null}' };
    expect(formatEtcdLease(parseEtcdLease(bare))).toEqual(bare);
  });

  test("dual stack and IPv6 alone", () => {
    const { key, value } = formatEtcdLease(lease);
    expect(key).toBe("10.244.1.0-24&fd00:10:244:1::-64");
    expect(JSON.parse(value)).toEqual({
      PublicIP: "192.168.1.1",
      PublicIPv6: "2001:db8::1",
      BackendType: "vxlan",
      BackendData: lease.backendData[4],
      BackendV6Data: lease.backendData[6],
    });
    const six: Lease = {
      ...lease,
      node: "2001-db8--1",
      subnets: lease.subnets.slice(1),
      addresses: lease.addresses.slice(1),
    };
    expect(formatEtcdLease(six).key).toBe("0.0.0.0-0&fd00:10:244:1::-64");
    const { underlays: _, peerPort: __, ...told } = six;
    expect(parseEtcdLease(formatEtcdLease(six))).toEqual(told);
  });

  test("keys that Flannel refuses are corrupt", () => {
    expect(parseEtcdLeaseKey("10.12.13.0-24&fd00:12:13::-56")).toHaveLength(2);
    for (const key of [
      "10",
      "10.12.13.0",
      "10.12.13-24",
      "10.12.13.300-24",
      "10.12.13.0-24hi",
      "&2001::-56",
      "10.12.13.0-24&:12:13:-56",
      "10.12.13.0-24&20011::-56",
      "10.12.13.0-24&2001-56",
      "10.12.13.0-24&2001::",
      "10.12.13.0-24&2001::-56hi",
      "0.0.0.0-0",
      "10.12.13.1-24",
      "fd00::-64",
      "10.1.0.0-24&10.2.0.0-24",
      "",
    ]) {
      expect(() => parseEtcdLeaseKey(key)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
  });

  test("random mutations are read or corrupt, never otherwise", () => {
    const random = seededRandom(8);
    for (let round = 0; round < 3000; round++) {
      const at = random.below(documented.value.length);
      const insert = pick(random, [...'"{}:,.0129abf\\ nul']);
      const value = documented.value.slice(0, at) + insert + documented.value.slice(at + random.below(3));
      try {
        parseEtcdLease({ key: documented.key, value });
      } catch (error) {
        if (!(error instanceof TwillError) || error.code !== "corrupt") throw error;
      }
    }
  });
});

function randomLease(random: Random): Lease {
  const data = () => ({ VNI: random.below(1 << 24), VtepMAC: macFromBytes(random.bytes(6)) });
  const v4 = addressFromBytes(Uint8Array.from([10, ...random.bytes(3)]));
  const v6 = addressFromBytes(Uint8Array.from([0xfd, ...random.bytes(15)]));
  return {
    node: `${pick(random, ["a", "node", "x-y.z"])}${random.below(1000)}`,
    subnets: [prefixOf(v4, 8 + random.below(23)), prefixOf(v6, 16 + random.below(111))].slice(random.below(2)),
    addresses: [v4, v6].slice(random.below(2)),
    backendType: pick(random, ["vxlan", "host-gw", "alloc", "extension", "udp"]),
    backendData: random.below(2) === 0 ? {} : { 4: data(), 6: data() },
    ...(random.below(2) === 0 && { underlays: [prefixOf(v4, 20)] }),
    ...(random.below(2) === 0 && { peerPort: 1 + random.below(65535) }),
  };
}

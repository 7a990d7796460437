import { expect, test } from "bun:test";
import { fuzz, golden } from "../../../test/support/fuzz.ts";
import { parseAddress as ip } from "../../base/address.ts";
import { hex } from "../../base/bytes.ts";
import { parseMac as mac } from "../../base/mac.ts";
import { parsePrefix as net } from "../../base/prefix.ts";
import { decodeAddress, encodeAddress } from "./address.ts";
import {
  decodeLink,
  encodeBridgePort,
  encodeLink,
  encodeLinkChange,
  encodeLinkCompletion,
  encodeLinkSpec,
} from "./link.ts";
import { decodeFdbEntry, decodeNeighbour, encodeFdbEntry, encodeNeighbour } from "./neighbour.ts";
import { decodeNetnsId, encodeNetnsId } from "./netns-id.ts";
import { decodeRoute, encodeRoute, encodeRouteLookup, isTableRoute } from "./route.ts";
import { decodeRule, encodeRule } from "./rule.ts";

/**
 * Payloads (behind the netlink header) captured on Linux 6.18: what iproute2 6.1 sent (strace) and what the kernel answered.
 * Two long answers are abridged, as noted; everything else is whole.
 */

/** ip link add flannel.1 address … mtu 1450 type vxlan id 1 local 10.0.0.1 dev v0 dstport 8472 nolearning */
const vxlanRequest = golden(`
  00 00 0000 00000000 00000000 00000000 // ifinfomsg: family, pad, type, index, flags, change
  0a00 0100 0e0000000001 0000           // IFLA_ADDRESS, padded
  0800 0400 aa050000                    // IFLA_MTU 1450
  0e00 0300 666c616e6e656c2e3100 0000   // IFLA_IFNAME "flannel.1"
  3c00 1200                             // IFLA_LINKINFO
    0900 0100 76786c616e 000000         //   IFLA_INFO_KIND "vxlan" (iproute2 leaves the NUL out)
    2c00 0200                           //   IFLA_INFO_DATA
      0800 0300 03000000                //     IFLA_VXLAN_LINK 3
      0800 0100 01000000                //     IFLA_VXLAN_ID 1
      0800 0400 0a000001                //     IFLA_VXLAN_LOCAL 10.0.0.1
      0500 0700 00 000000               //     IFLA_VXLAN_LEARNING 0
      0600 0f00 2118 0000               //     IFLA_VXLAN_PORT 8472, network order
`);

/** The kernel about flannel.1, abridged: without queues, counters, qdisc, IFLA_AF_SPEC and the like. */
const vxlanAnswer = golden(`
  00 00 0100 04000000 43100100 00000000 // type 1 (Ethernet), index 4, IFF_UP|BROADCAST|RUNNING|MULTICAST|LOWER_UP
  0e00 0300 666c616e6e656c2e3100 0000   // IFLA_IFNAME
  0800 0d00 e8030000                    // IFLA_TXQLEN 1000: unknown to us
  0800 0400 aa050000                    // IFLA_MTU 1450
  0a00 0100 0e0000000001 0000           // IFLA_ADDRESS
  e800 1200                             // IFLA_LINKINFO
    0a00 0100 76786c616e00 0000         //   IFLA_INFO_KIND "vxlan"
    d800 0200                           //   IFLA_INFO_DATA
      0800 0100 01000000 0800 0300 03000000 0800 0400 0a000001 // ID, LINK, LOCAL
      0500 0500 00000000 0500 1c00 00000000 0500 0600 00000000 0500 1d00 00000000 // TTL, TTL_INHERIT, TOS, DF
      0800 1a00 00000000 0800 2000 00000000 0500 0700 00000000 // LABEL, LABEL_POLICY, LEARNING 0
      0500 0b00 00000000 0500 0c00 00000000 0500 0d00 00000000 0500 0e00 00000000 // PROXY, RSC, L2MISS, L3MISS
      0500 1900 00000000 0800 0800 2c010000 0800 0900 00000000 // COLLECT_METADATA, AGEING 300, LIMIT
      0600 0f00 21180000 0500 1200 01000000 0500 1300 00000000 0500 1400 00000000 // PORT, UDP_CSUM 1, ZERO_CSUM6_TX, RX
      0500 1500 00000000 0500 1600 00000000 0500 1f00 01000000 // REMCSUM_TX, REMCSUM_RX, LOCALBYPASS 1
      0800 0a00 00000000 0c00 2100 f7ffffff000000ff            // PORT_RANGE, RESERVED_BITS
`);

/** A bridge port, abridged the same way. */
const portAnswer = golden(`
  00 00 0100 07000000 02100000 00000000 // index 7, IFF_BROADCAST|MULTICAST
  0700 0300 703000 00                   // IFLA_IFNAME "p0"
  0800 0400 dc050000                    // IFLA_MTU 1500
  0800 0a00 05000000                    // IFLA_MASTER 5
  0a00 1400 7477696c6c00 0000           // IFLA_IFALIAS "twill"
  0a00 0100 02d77ed359f0 0000           // IFLA_ADDRESS
  3800 1200                             // IFLA_LINKINFO
    0900 0100 7665746800 000000         //   IFLA_INFO_KIND "veth"
    0b00 0400 62726964676500 00         //   IFLA_INFO_SLAVE_KIND "bridge"
    1c00 0500                           //   IFLA_INFO_SLAVE_DATA
      0500 0100 00000000                //     IFLA_BRPORT_STATE 0
      0600 0200 20000000                //     IFLA_BRPORT_PRIORITY 32
      0500 0400 01000000                //     IFLA_BRPORT_MODE 1: hairpin
  0800 0500 06000000                    // IFLA_LINK 6, the peer
`);

test("links: what the kernel says", () => {
  expect(decodeLink(vxlanAnswer)).toEqual({
    index: 4,
    name: "flannel.1",
    kind: {
      type: "vxlan",
      vni: 1,
      port: 8472,
      local: ip("10.0.0.1"),
      underlay: 3,
      learning: false,
      gbp: false,
      udpChecksum: true,
      udpZeroChecksum6Tx: false,
      udpZeroChecksum6Rx: false,
    },
    mac: mac("0e:00:00:00:00:01"),
    mtu: 1450,
    up: true,
    carrier: true,
    loopback: false,
  });
  expect(decodeLink(portAnswer)).toEqual({
    index: 7,
    name: "p0",
    kind: { type: "veth" },
    mac: mac("02:d7:7e:d3:59:f0"),
    mtu: 1500,
    up: false,
    carrier: false,
    loopback: false,
    master: 5,
    lower: 6,
    alias: "twill",
    hairpin: true,
  });
  // A request of iproute2 reads as the link it asks for.
  expect(decodeLink(vxlanRequest)).toMatchObject({ name: "flannel.1", mtu: 1450, kind: { vni: 1, port: 8472 } });
});

/** Compared as hex: a difference can be read. */
const expectBytes = (actual: Uint8Array, text: string): void => expect(hex(actual)).toBe(hex(golden(text)));

test("links: a vxlan device as we ask for it", () => {
  const bytes = encodeLinkSpec({
    name: "flannel.1",
    kind: { type: "vxlan", vni: 1, port: 8472, local: ip("10.0.0.1"), underlay: 3, learning: false, gbp: true },
    mac: mac("0e:00:00:00:00:01"),
    mtu: 1450,
    up: true,
    alias: "twill",
  });
  expectBytes(
    bytes,
    `
    00 00 0000 00000000 01000000 01000000 // IFF_UP, and only that flag is meant
    0e00 0300 666c616e6e656c2e3100 0000   // IFLA_IFNAME
    0a00 0100 0e0000000001 0000           // IFLA_ADDRESS
    0800 0400 aa050000                    // IFLA_MTU 1450; the alias comes in a message of its own
    4000 1200                             // IFLA_LINKINFO
      0a00 0100 76786c616e00 0000         //   IFLA_INFO_KIND
      3000 0200                           //   IFLA_INFO_DATA
        0800 0100 01000000                //     IFLA_VXLAN_ID
        0600 0f00 2118 0000               //     IFLA_VXLAN_PORT, network order
        0800 0400 0a000001                //     IFLA_VXLAN_LOCAL
        0800 0300 03000000                //     IFLA_VXLAN_LINK
        0500 0700 00 000000               //     IFLA_VXLAN_LEARNING
        0400 1700                         //     IFLA_VXLAN_GBP, a flag
    `,
  );
});

test("links: a veth into another namespace", () => {
  const peer = { name: "eth0", netns: 7, mtu: 1400, up: true };
  expectBytes(
    encodeLinkSpec({ name: "twl0", kind: { type: "veth" }, peer }),
    `
    00 00 0000 00000000 00000000 00000000 // no flags are meant
    0900 0300 74776c3000 000000           // IFLA_IFNAME "twl0"
    4400 1200                             // IFLA_LINKINFO
      0900 0100 7665746800 000000         //   IFLA_INFO_KIND "veth"
      3400 0200                           //   IFLA_INFO_DATA
        3000 0100                         //     VETH_INFO_PEER
          00 00 0000 00000000 00000000 00000000 //  the peer's ifinfomsg; it comes up later
          0900 0300 6574683000 000000     //       IFLA_IFNAME "eth0"
          0800 0400 78050000              //       IFLA_MTU 1400
          0800 1c00 07000000              //       IFLA_NET_NS_FD 7
    `,
  );
});

test("links: completion, change and bridge port", () => {
  expectBytes(
    encodeLinkCompletion({ name: "eth0", alias: "twill", up: true }, "peer") ?? new Uint8Array(0),
    `
    00 00 0000 00000000 01000000 01000000 // found by its name
    0900 0300 6574683000 000000           // IFLA_IFNAME
    0a00 1400 7477696c6c00 0000           // IFLA_IFALIAS
    `,
  );
  expect(encodeLinkCompletion({ name: "eth0", up: true }, "link")).toBeUndefined();
  expectBytes(
    encodeLinkChange(7, { master: 5, up: false, addressGeneration: "none" }),
    `
    00 00 0000 07000000 00000000 01000000 // IFF_UP is meant, and off
    0800 0a00 05000000                    // IFLA_MASTER 5
    1000 1a00                             // IFLA_AF_SPEC
      0c00 0a00                           //   AF_INET6
        0500 0800 01 000000               //     IFLA_INET6_ADDR_GEN_MODE none
    `,
  );
  // As iproute2's `ip link set p0 type bridge_slave hairpin on`, but for the kind's name ("bridge_slave" there).
  expectBytes(
    encodeBridgePort(7, { hairpin: true }),
    `
    00 00 0000 07000000 00000000 00000000
    1c00 1200                             // IFLA_LINKINFO
      0b00 0400 62726964676500 00         //   IFLA_INFO_SLAVE_KIND "bridge"
      0c00 0500                           //   IFLA_INFO_SLAVE_DATA
        0500 0400 01 000000               //     IFLA_BRPORT_MODE 1
    `,
  );
});

/** ip addr add 10.244.0.0/32 dev flannel.1 */
const addressRequest = golden(`
  02 20 00 00 04000000 // ifaddrmsg: AF_INET, /32, no flags, scope universe, device 4
  0800 0200 0af40000   // IFA_LOCAL
  0800 0100 0af40000   // IFA_ADDRESS
`);
/** ip -6 addr add fd00::1/64 dev v0 nodad */
const addressRequest6 = golden(`
  0a 40 02 00 03000000                       // AF_INET6, /64, IFA_F_NODAD, scope universe, device 3
  1400 0200 fd000000000000000000000000000001 // IFA_LOCAL
  1400 0100 fd000000000000000000000000000001 // IFA_ADDRESS
`);
const addressAnswer = golden(`
  02 18 80 00 03000000 // /24, IFA_F_PERMANENT
  0800 0100 0a000001   // IFA_ADDRESS
  0800 0200 0a000001   // IFA_LOCAL
  0700 0300 763000 00  // IFA_LABEL "v0"
  0800 0800 80000000   // IFA_FLAGS, the same with more room
  1400 0600 ffffffff ffffffff 15a40500 15a40500 // IFA_CACHEINFO: lives for ever
`);
const addressAnswer6 = golden(`
  0a 40 c0 fd 03000000                       // IFA_F_PERMANENT|TENTATIVE, scope link
  1400 0100 fe80000000000000c80f90fffec52aeb // IFA_ADDRESS alone
  1400 0600 ffffffff ffffffff 16a40500 16a40500
  0800 0800 c0000000
  0500 0b00 03 000000                        // IFA_PROTO: link-local, unknown to us
`);

test("addresses", () => {
  const plain = { device: 4, address: ip("10.244.0.0"), length: 32, scope: "universe" } as const;
  expect(decodeAddress(addressRequest)).toEqual(plain);
  expect(encodeAddress(plain)).toEqual(addressRequest);
  const six = { device: 3, address: ip("fd00::1"), length: 64, scope: "universe", noDad: true } as const;
  expect(decodeAddress(addressRequest6)).toEqual(six);
  // We repeat the flags in IFA_FLAGS, which has room for all of them.
  expect(hex(encodeAddress(six))).toBe(`${hex(addressRequest6)}0800080002000000`);
  const { scope } = plain;
  expect(decodeAddress(addressAnswer)).toEqual({
    device: 3,
    address: ip("10.0.0.1"),
    length: 24,
    scope,
    label: "v0",
    permanent: true,
  });
  expect(decodeAddress(addressAnswer6)).toEqual({
    device: 3,
    address: ip("fe80::c80f:90ff:fec5:2aeb"),
    length: 64,
    scope: "link",
    tentative: true,
    permanent: true,
  });
});

/** ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink proto 84 */
const routeRequest = golden(`
  02 18 00 00 fe 54 00 01 04000000 // rtmsg: AF_INET, to /24, from /0, TOS, main, protocol 84, universe, unicast, RTNH_F_ONLINK
  0800 0100 0af40100               // RTA_DST
  0800 0500 0af40100               // RTA_GATEWAY
  0800 0400 04000000               // RTA_OIF
`);
const multipathAnswer = golden(`
  02 10 00 00 fe 54 00 01 00000000
  0800 0f00 fe000000               // RTA_TABLE 254
  0800 0100 0a320000               // RTA_DST 10.50.0.0
  0c00 0800                        // RTA_METRICS
    0800 0200 78050000             //   RTAX_MTU 1400
  2400 0900                        // RTA_MULTIPATH
    1000 00 00 03000000            //   rtnexthop: 16 bytes, flags, weight − 1, device 3
      0800 0500 0a000002           //     RTA_GATEWAY
    1000 00 13 03000000            //   weight 20
      0800 0500 0a000003           //     RTA_GATEWAY
`);
/** RTM_GETROUTE of 10.244.1.7 */
const lookupAnswer = golden(`
  02 20 00 00 fe 00 00 01 00020000 // RTM_F_CLONED: one packet's way, no route of a table
  0800 0100 0af40107               // RTA_DST
  0800 0400 04000000               // RTA_OIF
  0800 0700 0af40000               // RTA_PREFSRC
  0800 0500 0af40100               // RTA_GATEWAY
  0800 1900 00000000               // RTA_UID
  2400 0c00 02000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 // RTA_CACHEINFO
`);
const base = { type: "unicast", table: 254, protocol: 84, scope: "universe", metric: 0 } as const;

test("routes", () => {
  const onlink = { destination: net("10.244.1.0/24"), ...base, gateway: ip("10.244.1.0"), device: 4, onlink: true };
  expect(decodeRoute(routeRequest)).toEqual(onlink);
  expectBytes(
    encodeRoute({ ...onlink, table: 1000, metric: 5, source: ip("10.0.0.1"), mtu: 1400 }),
    `
    02 18 00 00 fc 54 00 01 04000000 // RT_TABLE_COMPAT: the table does not fit
    0800 0100 0af40100               // RTA_DST
    0800 0f00 e8030000               // RTA_TABLE 1000
    0800 0600 05000000               // RTA_PRIORITY 5
    0800 0700 0a000001               // RTA_PREFSRC
    0800 0500 0af40100               // RTA_GATEWAY
    0800 0400 04000000               // RTA_OIF
    0c00 0800                        // RTA_METRICS
      0800 0200 78050000             //   RTAX_MTU
    `,
  );
  const multipath = {
    destination: net("10.50.0.0/16"),
    ...base,
    mtu: 1400,
    hops: [
      { device: 3, weight: 1, gateway: ip("10.0.0.2") },
      { device: 3, weight: 20, gateway: ip("10.0.0.3") },
    ],
  };
  expect(decodeRoute(multipathAnswer)).toEqual(multipath);
  expect(isTableRoute(multipathAnswer)).toBe(true);
  expect(isTableRoute(lookupAnswer)).toBe(false);
  expect(decodeRoute(lookupAnswer)).toMatchObject({ destination: "10.244.1.7/32", gateway: "10.244.1.0", device: 4 });
});

test("routes: a gateway of the other family (RTA_VIA)", () => {
  const route = { destination: net("10.1.0.0/16"), ...base, gateway: ip("fe80::1"), device: 3 };
  expectBytes(
    encodeRoute(route),
    `
    02 10 00 00 fe 54 00 01 00000000
    0800 0100 0a010000
    0800 0f00 fe000000
    1600 1200                             // RTA_VIA
      0a00                                //   rtvia: AF_INET6
      fe800000000000000000000000000001 0000 //   the gateway, padded
    0800 0400 03000000
    `,
  );
  expect(decodeRoute(encodeRoute(route))).toEqual(route);
});

test("routes: asking for one packet's way", () => {
  expectBytes(
    encodeRouteLookup(ip("10.244.1.7"), { source: ip("10.0.0.9"), inputDevice: 3, mark: 0x10000 }),
    `
    02 20 20 00 00 00 00 00 00100000 // to /32, from /32, RTM_F_LOOKUP_TABLE
    0800 0100 0af40107               // RTA_DST
    0800 0200 0a000009               // RTA_SRC
    0800 0300 03000000               // RTA_IIF
    0800 1000 00000100               // RTA_MARK
    `,
  );
});

/** ip rule add from 10.244.0.0/16 fwmark 0x10000/0xff0000 iif v0 table 100 pref 1000 */
const ruleRequest = golden(`
  02 00 10 00 64 00 00 01 00000000 // fib_rule_hdr: AF_INET, to /0, from /16, TOS, table 100, reserved, FR_ACT_TO_TBL, flags
  0800 0200 0af40000               // FRA_SRC
  0800 0a00 00000100               // FRA_FWMARK 0x10000
  0800 1000 0000ff00               // FRA_FWMASK 0xff0000
  0700 0300 763000 00              // FRA_IIFNAME "v0"
  0800 0600 e8030000               // FRA_PRIORITY 1000
`);
const ruleAnswer = golden(`
  02 00 00 00 fe 00 00 01 00000000
  0800 0f00 fe000000               // FRA_TABLE 254
  0800 0e00 ffffffff               // FRA_SUPPRESS_PREFIXLEN: none
  0500 1500 02 000000              // FRA_PROTOCOL: kernel
  0800 0600 fe7f0000               // FRA_PRIORITY 32766
`);

test("rules", () => {
  const rule = {
    family: 4,
    priority: 1000,
    table: 100,
    source: net("10.244.0.0/16"),
    mark: 0x10000,
    mask: 0xff0000,
    inputDevice: "v0",
    action: "lookup",
  } as const;
  expect(decodeRule(ruleRequest)).toEqual(rule);
  expect(decodeRule(encodeRule(rule))).toEqual(rule);
  expect(decodeRule(ruleAnswer)).toEqual({ family: 4, priority: 32766, table: 254, action: "lookup", protocol: 2 });
});

/** ip neigh add 10.244.1.0 lladdr 0e:00:00:00:00:02 dev flannel.1 nud permanent */
const neighbourRequest = golden(`
  02 00 0000 04000000 8000 00 00 // ndmsg: AF_INET, padding, device 4, NUD_PERMANENT, flags, type
  0800 0100 0af40100             // NDA_DST
  0a00 0200 0e0000000002 0000    // NDA_LLADDR
`);
const neighbourAnswer = golden(`
  02 00 0000 04000000 8000 00 01 // type RTN_UNICAST
  0800 0100 0af40100
  0a00 0200 0e0000000002 0000
  0800 0400 00000000             // NDA_PROBES
  1400 0300 0e000000 0e000000 0e000000 00000000 // NDA_CACHEINFO
`);
/** bridge fdb add 0e:00:00:00:00:02 dev flannel.1 dst 10.0.0.2 self permanent */
const fdbRequest = golden(`
  07 00 0000 04000000 c000 02 00 // AF_BRIDGE, device 4, NUD_PERMANENT|NUD_NOARP, NTF_SELF
  0a00 0200 0e0000000002 0000    // NDA_LLADDR
  0800 0100 0a000002             // NDA_DST
`);
const fdbAnswer = golden(`
  07 00 0000 04000000 c000 02 01
  0a00 0200 0e0000000002 0000
  0800 0100 0a000002
  1400 0300 00000000 0d000000 0d000000 00000000 // NDA_CACHEINFO
`);

test("neighbours and forwarding entries", () => {
  const neighbour = {
    device: 4,
    address: ip("10.244.1.0"),
    mac: mac("0e:00:00:00:00:02"),
    state: "permanent",
  } as const;
  expect(decodeNeighbour(neighbourRequest)).toEqual(neighbour);
  expect(decodeNeighbour(neighbourAnswer)).toEqual(neighbour);
  expect(encodeNeighbour(neighbour)).toEqual(neighbourRequest);
  const entry = { device: 4, mac: neighbour.mac, remote: ip("10.0.0.2"), state: "permanent", self: true } as const;
  expect(decodeFdbEntry(fdbRequest)).toEqual(entry);
  expect(decodeFdbEntry(fdbAnswer)).toEqual(entry);
  // We set NUD_PERMANENT alone; the kernel ages neither.
  expect(hex(encodeFdbEntry(entry))).toBe(hex(fdbRequest).replace("c0000200", "80000200"));
});

test("namespace ids", () => {
  expectBytes(encodeNetnsId({ fd: 8 }), "00000000 0800 0300 08000000"); // rtgenmsg, padded; NETNSA_FD
  expect(decodeNetnsId(golden("00000000 0800 0100 02000000"))).toBe(2); // NETNSA_NSID
  expect(decodeNetnsId(golden("00000000 0800 0100 ffffffff"))).toBeUndefined();
});

test("fuzz: links", () => {
  fuzz([vxlanRequest, vxlanAnswer, portAnswer], (bytes) => decodeLink(bytes, { statistics: true }), encodeLink);
});
test("fuzz: addresses", () => {
  fuzz([addressRequest, addressRequest6, addressAnswer, addressAnswer6], decodeAddress, encodeAddress);
});
test("fuzz: routes", () => {
  fuzz([routeRequest, multipathAnswer, lookupAnswer], decodeRoute, encodeRoute);
});
test("fuzz: rules", () => {
  fuzz([ruleRequest, ruleAnswer], decodeRule, encodeRule);
});
test("fuzz: neighbours", () => {
  fuzz([neighbourRequest, neighbourAnswer], decodeNeighbour, encodeNeighbour);
});
test("fuzz: forwarding entries", () => {
  fuzz([fdbRequest, fdbAnswer], decodeFdbEntry, encodeFdbEntry);
});
test("fuzz: namespace ids", () => {
  fuzz([golden("00000000 0800 0100 02000000")], decodeNetnsId, (id) => encodeNetnsId(id === undefined ? {} : { id }));
});

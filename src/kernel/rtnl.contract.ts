import { describe, expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { Link, LinkKind, LinkSpec } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import { type DeviceAddress, mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import { errnoName } from "./errno.ts";
import type { LinkChange, Rtnl, RtnlOperation } from "./rtnl.ts";

export interface RtnlPlace {
  readonly rtnl: Rtnl;
  /** Another namespace, and the descriptor by which the first names it. */
  readonly other: { readonly rtnl: Rtnl; readonly fd: number };
}

const ip = parseAddress;
const net = parsePrefix;
const mac = parseMac;

/** What every implementation of Rtnl does, in fresh namespaces with `lo` up. The real kernel is the judge. */
export function rtnlContract(name: string, fresh: () => RtnlPlace): void {
  describe(`Rtnl: ${name}`, () => {
    const add = (rtnl: Rtnl, spec: LinkSpec): Link => {
      rtnl.do({ op: "link.add", spec });
      const link = rtnl.link(spec.name);
      if (link === undefined) throw new Error(`${spec.name} was not made`);
      return link;
    };
    /** A veth whose other end is in the other namespace, both up, with 10.0.0.1/24 and fd00::1/64. */
    const wired = (place: RtnlPlace): Link => {
      const link = add(place.rtnl, {
        name: "eth0",
        kind: { type: "veth" },
        up: true,
        peer: { name: "peer0", netns: place.other.fd, up: true },
      });
      place.rtnl.do({ op: "address.add", address: address(link, "10.0.0.1", 24) });
      place.rtnl.do({ op: "address.add", address: { ...address(link, "fd00::1", 64), noDad: true } });
      return link;
    };
    const address = (link: Link, text: string, length: number): DeviceAddress => ({
      device: link.index,
      address: ip(text),
      length,
      scope: "universe",
    });
    const route = (fields: Partial<Route>): Route => ({
      destination: net("10.244.1.0/24"),
      type: "unicast",
      table: mainTable,
      protocol: TWILL_ROUTE_PROTOCOL,
      scope: "universe",
      metric: 0,
      ...fields,
    });
    const vxlan: LinkKind = { type: "vxlan", vni: 1, port: 8472, learning: false, gbp: false };
    /** The errno's name, or "done". */
    const outcome = (rtnl: Rtnl, operation: RtnlOperation): string => {
      const error = rtnl.apply([operation])[0];
      return error === undefined ? "done" : errnoName(error.errno ?? 0);
    };
    const named = (rtnl: Rtnl) =>
      rtnl
        .links()
        .map((link) => link.name)
        .sort();
    const routed = (rtnl: Rtnl) =>
      rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL }).map((each) => `${each.destination} ${each.gateway ?? "-"}`);

    test("lo is up, with its addresses and their routes", () => {
      const { rtnl } = fresh();
      expect(rtnl.link("lo")).toMatchObject({ index: 1, loopback: true, up: true, kind: { type: "physical" } });
      expect(rtnl.addresses({ device: 1 })).toMatchObject([
        { address: "127.0.0.1", length: 8, scope: "host", label: "lo" },
        { address: "::1", length: 128, scope: "host" },
      ]);
      expect(
        rtnl
          .routes({ family: 4 })
          .map((each) => `${each.type} ${each.destination}`)
          .sort(),
      ).toEqual(["broadcast 127.255.255.255/32", "local 127.0.0.0/8", "local 127.0.0.1/32"]);
      expect(rtnl.addresses({ device: 99 })).toEqual([]);
      expect(rtnl.routes({ device: 99 })).toEqual([]);
      expect(rtnl.fdb({ device: 99 })).toEqual([]);
      expect(rtnl.link("nobody")).toBeUndefined();
      expect(rtnl.link(99)).toBeUndefined();
    });

    test("a veth pair is made at once with names, Ethernet addresses, MTU, alias and both ends up", () => {
      const { rtnl, other } = fresh();
      const link = add(rtnl, {
        name: "twl0",
        kind: { type: "veth" },
        mtu: 1400,
        up: true,
        alias: "twill",
        mac: mac("02:00:00:00:00:01"),
        peer: { name: "eth0", netns: other.fd, mtu: 1300, up: true, mac: mac("02:00:00:00:00:02") },
      });
      expect(link).toMatchObject({ kind: { type: "veth" }, mtu: 1400, up: true, carrier: true, alias: "twill" });
      const peer = other.rtnl.link("eth0");
      expect(peer).toMatchObject({ mtu: 1300, up: true, carrier: true, mac: "02:00:00:00:00:02", lower: link.index });
      expect(link.lower).toBe(peer?.index);
      expect(link.linkNetns).toBe(rtnl.netnsId(other.fd));
      expect(peer?.linkNetns).toBeDefined();
    });

    test("both ends may stay in one namespace, and either end's deletion takes both", () => {
      const { rtnl } = fresh();
      const link = add(rtnl, { name: "a", kind: { type: "veth" }, up: true, peer: { name: "b", up: true } });
      expect(link.carrier).toBe(true);
      expect(link.linkNetns).toBeUndefined();
      const peer = rtnl.link("b");
      rtnl.do({ op: "link.delete", index: peer?.index ?? 0 });
      expect(named(rtnl)).toEqual(["lo"]);
    });

    test("a veth without its peer up has no carrier; the carrier comes with it", () => {
      const { rtnl } = fresh();
      add(rtnl, { name: "a", kind: { type: "veth" }, up: true, peer: { name: "b" } });
      expect(rtnl.link("a")?.carrier).toBe(false);
      rtnl.do({ op: "link.set", index: rtnl.link("b")?.index ?? 0, change: { up: true } });
      expect(rtnl.link("a")?.carrier).toBe(true);
    });

    test("names: taken, too long, with a slash", () => {
      const { rtnl } = fresh();
      const kind: LinkKind = { type: "bridge" };
      add(rtnl, { name: "br0", kind });
      expect(outcome(rtnl, { op: "link.add", spec: { name: "br0", kind } })).toBe("EEXIST");
      expect(outcome(rtnl, { op: "link.add", spec: { name: "br/0", kind } })).toBe("EINVAL");
      expect(outcome(rtnl, { op: "link.add", spec: { name: "b r", kind } })).toBe("EINVAL");
      expect(outcome(rtnl, { op: "link.add", spec: { name: "..", kind } })).toBe("EINVAL");
      const veth: LinkSpec = { name: "v0", kind: { type: "veth" }, peer: { name: "br0" } };
      expect(outcome(rtnl, { op: "link.add", spec: veth })).toBe("EEXIST");
      expect(named(rtnl)).toEqual(["br0", "lo"]);
      const error = rtnl.apply([{ op: "link.add", spec: { name: "br0", kind } }])[0];
      expect(error).toBeInstanceOf(TwillError);
      expect(error).toMatchObject({ code: "exists", operation: "add link", object: "br0 (bridge)" });
    });

    test("a creation that is refused changes nothing of the link that has the name, not even its alias or state", () => {
      const { rtnl } = fresh();
      const kind: LinkKind = { type: "bridge" };
      add(rtnl, { name: "br0", kind });
      add(rtnl, { name: "p", kind: { type: "veth" }, peer: { name: "q" } });
      const before = [rtnl.link("br0"), rtnl.link("q")];
      const refused: LinkSpec[] = [
        { name: "br0", kind, alias: "twill", up: true },
        { name: "n", kind: { type: "veth" }, alias: "twill", peer: { name: "q", alias: "twill", up: true } },
      ];
      for (const spec of refused) expect(outcome(rtnl, { op: "link.add", spec })).toBe("EEXIST");
      expect([rtnl.link("br0"), rtnl.link("q")]).toEqual(before);
    });

    test("an unknown kind is refused as unsupported", () => {
      const { rtnl } = fresh();
      const spec: LinkSpec = { name: "x0", kind: { type: "other", name: "nosuchkind" } };
      expect(rtnl.apply([{ op: "link.add", spec }])[0]).toMatchObject({ code: "unsupported" });
    });

    test("a link is changed: name, Ethernet address, MTU, alias, down and up", () => {
      const { rtnl } = fresh();
      const { index } = add(rtnl, { name: "a", kind: { type: "veth" }, peer: { name: "b", up: true } });
      const change = { name: "c", mac: mac("02:00:00:00:00:07"), mtu: 1280, alias: "twill", up: true };
      rtnl.do({ op: "link.set", index, change });
      expect(rtnl.link("c")).toMatchObject({ ...change, index, carrier: true });
      rtnl.do({ op: "link.set", index, change: { up: false } });
      expect(rtnl.link("c")).toMatchObject({ up: false, carrier: false });
      expect(outcome(rtnl, { op: "link.set", index, change: { name: "lo" } })).toBe("EEXIST");
      expect(outcome(rtnl, { op: "link.set", index, change: { mtu: 20 } })).toBe("EINVAL");
      expect(outcome(rtnl, { op: "link.set", index, change: { mac: mac("01:00:00:00:00:07") } })).toBe("EADDRNOTAVAIL");
      expect(outcome(rtnl, { op: "link.set", index: 99, change: { up: true } })).toBe("ENODEV");
    });

    test("a link moves to another namespace with a new name and loses what it had here", () => {
      const { rtnl, other } = fresh();
      const { index } = add(rtnl, { name: "a", kind: { type: "veth" }, alias: "twill", up: true, peer: { name: "b" } });
      rtnl.do({
        op: "address.add",
        address: { device: index, address: ip("10.9.0.1"), length: 24, scope: "universe" },
      });
      rtnl.do({ op: "link.set", index, change: { netns: other.fd, name: "eth0" } });
      expect(named(rtnl)).toEqual(["b", "lo"]);
      const moved = other.rtnl.link("eth0");
      expect(moved).toMatchObject({ up: false, kind: { type: "veth" } });
      expect(other.rtnl.addresses({ device: moved?.index ?? 0 })).toEqual([]);
      expect(rtnl.routes({ device: index })).toEqual([]);
    });

    test("deleting what is not there, and what cannot be deleted", () => {
      const { rtnl } = fresh();
      expect(outcome(rtnl, { op: "link.delete", index: 99 })).toBe("ENODEV");
      expect(outcome(rtnl, { op: "link.delete", index: 1 })).toBe("EOPNOTSUPP");
    });

    test("vxlan: every attribute reads back, and the default MTU is the underlay's less 50", () => {
      const place = fresh();
      const underlay = wired(place);
      const kind: LinkKind = { ...vxlan, vni: 4096, port: 4789, local: ip("10.0.0.1"), underlay: underlay.index };
      const link = add(place.rtnl, { name: "flannel.4096", kind, mac: mac("0e:00:00:00:00:01"), up: true });
      expect(link).toMatchObject({ mtu: 1450, up: true, carrier: true, mac: "0e:00:00:00:00:01" });
      expect(link.kind).toEqual({ ...kind, udpChecksum: true, udpZeroChecksum6Tx: false, udpZeroChecksum6Rx: false });
      const six: LinkKind = { ...vxlan, vni: 7, gbp: true, learning: true, local: ip("fd00::1"), udpChecksum: false };
      expect(add(place.rtnl, { name: "vx6", kind: { ...six, underlay: underlay.index } })).toMatchObject({
        mtu: 1430,
        kind: { gbp: true, learning: true, local: "fd00::1", udpChecksum: false },
      });
    });

    test("two vxlan devices of one VNI and port are refused, unless they read packets differently", () => {
      const { rtnl } = fresh();
      add(rtnl, { name: "vx0", kind: vxlan });
      const more = (kind: LinkKind) => outcome(rtnl, { op: "link.add", spec: { name: "vx1", kind } });
      expect(more(vxlan)).toBe("EEXIST");
      expect(more({ ...vxlan, learning: true })).toBe("EEXIST");
      expect(more({ ...vxlan, underlay: 99 })).toBe("ENODEV");
      expect(more({ ...vxlan, gbp: true })).toBe("done");
      expect(outcome(rtnl, { op: "link.add", spec: { name: "vx2", kind: { ...vxlan, vni: 2 } } })).toBe("done");
      expect(outcome(rtnl, { op: "link.add", spec: { name: "vx3", kind: { ...vxlan, port: 1 } } })).toBe("done");
    });

    test("a vxlan device goes with its underlay device", () => {
      const place = fresh();
      const underlay = wired(place);
      add(place.rtnl, { name: "vx0", kind: { ...vxlan, underlay: underlay.index }, up: true });
      place.rtnl.do({ op: "link.delete", index: underlay.index });
      expect(named(place.rtnl)).toEqual(["lo"]);
    });

    test("bridge: ports join and leave, hairpin is a port's, the carrier follows the ports", () => {
      const { rtnl } = fresh();
      const bridge = add(rtnl, { name: "cni0", kind: { type: "bridge" }, up: true });
      // The kernel reckons a bridge's carrier only when a port changes (br_port_state_selection).
      expect(bridge).toMatchObject({ kind: { type: "bridge", vlanFiltering: false }, carrier: true });
      const port = add(rtnl, { name: "a", kind: { type: "veth" }, up: true, peer: { name: "b", up: true } });
      expect(outcome(rtnl, { op: "link.set", index: port.index, change: { hairpin: true } })).not.toBe("done");
      rtnl.do({ op: "link.set", index: port.index, change: { master: bridge.index, hairpin: true } });
      expect(rtnl.link("a")).toMatchObject({ master: bridge.index, hairpin: true });
      expect(rtnl.link("cni0")?.carrier).toBe(true);
      rtnl.do({ op: "link.set", index: port.index, change: { master: 0 } });
      expect(rtnl.link("a")?.master).toBeUndefined();
      expect(rtnl.link("a")?.hairpin).toBeUndefined();
      expect(rtnl.link("cni0")?.carrier).toBe(false);
      expect(outcome(rtnl, { op: "link.set", index: port.index, change: { master: 99 } })).toBe("EINVAL");
      add(rtnl, { name: "c", kind: { type: "veth" }, master: bridge.index, peer: { name: "d" } });
      expect(rtnl.link("c")?.master).toBe(bridge.index);
      rtnl.do({ op: "link.delete", index: bridge.index });
      expect(rtnl.link("c")?.master).toBeUndefined();
    });

    test("macvlan: on its lower device, straight into another namespace, and gone with it", () => {
      const place = fresh();
      const lower = wired(place);
      const kind: LinkKind = { type: "macvlan", mode: "bridge" };
      const spec: LinkSpec = { name: "mac0", kind, lower: lower.index };
      expect(add(place.rtnl, spec)).toMatchObject({ kind, lower: lower.index, mtu: 1500 });
      place.rtnl.do({ op: "link.add", spec: { ...spec, name: "eth1", netns: place.other.fd } });
      expect(place.other.rtnl.link("eth1")).toMatchObject({ kind });
      expect(outcome(place.rtnl, { op: "link.add", spec: { ...spec, name: "mac1", lower: 99 } })).toBe("ENODEV");
      place.rtnl.do({ op: "link.delete", index: lower.index });
      expect(named(place.rtnl)).toEqual(["lo"]);
    });

    test("without address generation a link has no address of its own", async () => {
      const { rtnl } = fresh();
      const ready = (name: string, change: LinkChange): Link => {
        const link = add(rtnl, { name, kind: { type: "veth" }, peer: { name: `${name}x`, up: true } });
        rtnl.do({ op: "link.set", index: link.index, change: { ...change, up: true } });
        return link;
      };
      const without = ready("a", { addressGeneration: "none" });
      const plain = ready("b", {});
      const scopes = (link: Link) => rtnl.addresses({ device: link.index, family: 6 }).map((each) => each.scope);
      // The kernel's linkwatch tells IPv6 of a carrier later, from a work queue.
      for (let round = 0; round < 200 && scopes(plain).length === 0; round++) await Bun.sleep(20);
      expect(scopes(plain)).toEqual(["link"]);
      expect(scopes(without)).toEqual([]);
    });

    test("an IPv4 address brings its routes, once, and takes them away", () => {
      const place = fresh();
      const link = wired(place);
      const routes = () =>
        place.rtnl
          .routes({ family: 4, device: link.index })
          .map(({ type, destination, table, scope, source }) => `${type} ${destination} ${table} ${scope} ${source}`)
          .sort();
      const expected = [
        "broadcast 10.0.0.255/32 255 link 10.0.0.1",
        "local 10.0.0.1/32 255 host 10.0.0.1",
        "unicast 10.0.0.0/24 254 link 10.0.0.1",
      ];
      expect(routes()).toEqual(expected);
      expect(outcome(place.rtnl, { op: "address.add", address: address(link, "10.0.0.1", 24) })).toBe("EEXIST");
      expect(outcome(place.rtnl, { op: "address.replace", address: address(link, "10.0.0.1", 24) })).toBe("done");
      expect(routes()).toEqual(expected);
      place.rtnl.do({ op: "address.add", address: { ...address(link, "10.7.0.1", 24), noPrefixRoute: true } });
      place.rtnl.do({ op: "address.add", address: address(link, "10.8.0.1", 32) });
      expect(routes().filter((each) => each.startsWith("unicast"))).toEqual([expected[2] ?? ""]);
      for (const [text, length] of [
        ["10.7.0.1", 24],
        ["10.8.0.1", 32],
        ["10.0.0.1", 24],
      ] as const) {
        place.rtnl.do({ op: "address.delete", address: address(link, text, length) });
      }
      expect(routes()).toEqual([]);
      expect(outcome(place.rtnl, { op: "address.delete", address: address(link, "10.0.0.1", 24) })).toBe(
        "EADDRNOTAVAIL",
      );
      const nowhere = { ...address(link, "10.0.0.1", 24), device: 99 };
      expect(outcome(place.rtnl, { op: "address.add", address: nowhere })).toBe("ENODEV");
    });

    test("an IPv6 address brings its routes and reads back", async () => {
      const place = fresh();
      const link = wired(place);
      const found = place.rtnl.addresses({ device: link.index, family: 6 }).find((each) => each.address === "fd00::1");
      expect(found).toMatchObject({ length: 64, scope: "universe", noDad: true, permanent: true });
      const own = () =>
        place.rtnl.routes({ family: 6, device: link.index }).map((each) => `${each.type} ${each.destination}`);
      expect(own()).toContain("unicast fd00::/64");
      // Even without duplicate detection the address becomes local in a work queue (addrconf_dad_work).
      for (let round = 0; round < 200 && !own().includes("local fd00::1/128"); round++) await Bun.sleep(20);
      expect(own()).toContain("local fd00::1/128");
      expect(outcome(place.rtnl, { op: "address.add", address: address(link, "fd00::1", 64) })).toBe("EEXIST");
      place.rtnl.do({ op: "address.delete", address: address(link, "fd00::1", 64) });
      const left = place.rtnl.routes({ family: 6, device: link.index }).map((each) => each.destination);
      expect(left).not.toContain(net("fd00::/64"));
      expect(left).not.toContain(net("fd00::1/128"));
    });

    test("a gateway must be on the link, unless the route says onlink", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const via = (fields: Partial<Route>) => outcome(place.rtnl, { op: "route.add", route: route(fields) });
      expect(via({ gateway: ip("10.0.0.2"), device })).toBe("done");
      expect(via({ destination: net("10.244.2.0/24"), gateway: ip("10.0.0.3") })).toBe("done");
      expect(via({ destination: net("10.244.3.0/24"), gateway: ip("10.77.0.1"), device })).toBe("ENETUNREACH");
      expect(via({ destination: net("10.244.3.0/24"), gateway: ip("10.77.0.1"), device, onlink: true })).toBe("done");
      const own = { destination: net("10.244.4.0/24"), gateway: ip("10.0.0.1"), device };
      expect(via({ ...own, onlink: true })).toBe("EINVAL");
      expect(via({ destination: net("10.244.5.0/24"), gateway: ip("10.0.0.2"), device: 99 })).toBe("ENETUNREACH");
      expect(via({ destination: net("10.244.5.0/24"), device: 99, scope: "link" })).toBe("ENODEV");
      const source = ip("10.99.0.1");
      expect(via({ destination: net("10.244.5.0/24"), gateway: ip("10.0.0.2"), device, source })).toBe("EINVAL");
      const six = { destination: net("fd00:1::/64"), device };
      expect(via({ ...six, gateway: ip("fd00::1") })).toBe("EINVAL");
      expect(via({ ...six, gateway: ip("fd00::2") })).toBe("done");
      expect(via({ ...six, destination: net("fd00:2::/64"), gateway: ip("fd77::1") })).toBe("EHOSTUNREACH");
      expect(via({ ...six, destination: net("fd00:2::/64"), gateway: ip("fd77::1"), onlink: true })).toBe("done");
      expect(via({ ...six, destination: net("fd00:3::/64"), gateway: ip("fe80::9") })).toBe("done");
      expect(place.rtnl.routes({ family: 4, protocol: TWILL_ROUTE_PROTOCOL })).toEqual([
        route({ gateway: ip("10.0.0.2"), device }),
        route({ destination: net("10.244.2.0/24"), gateway: ip("10.0.0.3"), device }),
        route({ destination: net("10.244.3.0/24"), gateway: ip("10.77.0.1"), device, onlink: true }),
      ]);
    });

    test("one route a destination, table and metric: add refuses, replace replaces", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const first = route({ gateway: ip("10.0.0.2"), device });
      const second = route({ gateway: ip("10.0.0.3"), device });
      place.rtnl.do({ op: "route.add", route: first });
      expect(outcome(place.rtnl, { op: "route.add", route: first })).toBe("EEXIST");
      expect(outcome(place.rtnl, { op: "route.add", route: second })).toBe("EEXIST");
      expect(outcome(place.rtnl, { op: "route.replace", route: second })).toBe("done");
      expect(routed(place.rtnl)).toEqual(["10.244.1.0/24 10.0.0.3"]);
      expect(outcome(place.rtnl, { op: "route.add", route: { ...first, metric: 5 } })).toBe("done");
      expect(outcome(place.rtnl, { op: "route.add", route: { ...first, table: 100 } })).toBe("done");
      expect(place.rtnl.routes({ table: 100 })).toEqual([{ ...first, table: 100 }]);
      expect(place.rtnl.routes({ table: 1234 })).toEqual([]);
      expect(outcome(place.rtnl, { op: "route.delete", route: { ...first, metric: 6 } })).toBe("ESRCH");
      expect(outcome(place.rtnl, { op: "route.delete", route: second })).toBe("done");
      expect(outcome(place.rtnl, { op: "route.delete", route: second })).toBe("ESRCH");
      // Metric 0 in a deletion stands for any: this one was added with 5.
      expect(outcome(place.rtnl, { op: "route.delete", route: first })).toBe("done");
      expect(place.rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL }).map(({ table }) => table)).toEqual([100]);
    });

    test("IPv6 routes have metric 1024 when none is given", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const six = route({ destination: net("fd00:1::/64"), gateway: ip("fd00::2"), device });
      place.rtnl.do({ op: "route.add", route: six });
      expect(place.rtnl.routes({ family: 6, protocol: TWILL_ROUTE_PROTOCOL })).toEqual([{ ...six, metric: 1024 }]);
      expect(outcome(place.rtnl, { op: "route.add", route: six })).toBe("EEXIST");
      place.rtnl.do({ op: "route.delete", route: six });
      expect(place.rtnl.routes({ family: 6, protocol: TWILL_ROUTE_PROTOCOL })).toEqual([]);
    });

    test("blackhole and multipath routes, metrics and sources read back", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const routes = [
        route({ destination: net("10.10.0.0/16"), type: "blackhole" }),
        route({ destination: net("10.20.0.0/16"), gateway: ip("10.0.0.2"), device, mtu: 1400, advmss: 1360 }),
        route({ destination: net("10.21.0.0/16"), gateway: ip("10.0.0.2"), device, source: ip("10.0.0.1") }),
        route({ destination: net("10.22.0.5/32"), device, scope: "link" }),
        route({
          destination: net("10.30.0.0/16"),
          hops: [
            { gateway: ip("10.0.0.2"), device, weight: 1 },
            { gateway: ip("10.0.0.3"), device, weight: 20 },
          ],
        }),
      ];
      for (const each of routes) place.rtnl.do({ op: "route.add", route: each });
      expect(place.rtnl.routes({ family: 4, protocol: TWILL_ROUTE_PROTOCOL })).toEqual(routes);
      for (const each of routes) place.rtnl.do({ op: "route.delete", route: each });
      expect(routed(place.rtnl)).toEqual([]);
    });

    test("a link that goes down loses its routes and neighbours, and only the kernel's own come back", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const { rtnl } = place;
      rtnl.do({ op: "route.add", route: route({ gateway: ip("10.0.0.2"), device }) });
      const neighbour: Neighbour = {
        device,
        address: ip("10.0.0.2"),
        mac: mac("02:00:00:00:00:09"),
        state: "permanent",
      };
      rtnl.do({ op: "neighbour.add", neighbour });
      rtnl.do({ op: "link.set", index: device, change: { up: false } });
      expect(routed(rtnl)).toEqual([]);
      expect(rtnl.neighbours({ device })).toEqual([]);
      expect(rtnl.addresses({ device }).map((each) => each.address)).toEqual([ip("10.0.0.1")]);
      expect(rtnl.routes({ device, family: 4 }).map((each) => each.type)).toEqual(["local"]);
      expect(rtnl.routes({ device, family: 6 })).toEqual([]);
      const via = { gateway: ip("10.0.0.2"), device };
      expect(outcome(rtnl, { op: "route.add", route: route(via) })).toBe("ENETUNREACH");
      expect(outcome(rtnl, { op: "route.add", route: route({ ...via, onlink: true }) })).toBe("ENETDOWN");
      expect(outcome(rtnl, { op: "route.add", route: route({ device, scope: "link" }) })).toBe("ENETDOWN");
      const six = { destination: net("fd00:1::/64"), device };
      expect(outcome(rtnl, { op: "route.add", route: route(six) })).toBe("ENETDOWN");
      rtnl.do({ op: "link.set", index: device, change: { up: true } });
      expect(rtnl.routes({ device, family: 4, table: mainTable }).map((each) => each.destination)).toEqual([
        net("10.0.0.0/24"),
      ]);
    });

    test("an address that goes takes the routes with it that name it as their source", () => {
      const place = fresh();
      const link = wired(place);
      const device = link.index;
      place.rtnl.do({ op: "address.add", address: address(link, "10.5.0.1", 32) });
      place.rtnl.do({ op: "route.add", route: route({ gateway: ip("10.0.0.2"), device, source: ip("10.5.0.1") }) });
      place.rtnl.do({ op: "address.delete", address: address(link, "10.5.0.1", 32) });
      expect(routed(place.rtnl)).toEqual([]);
    });

    test("neighbours: permanent ones and proxies", () => {
      const place = fresh();
      const { index: device } = wired(place);
      const { rtnl } = place;
      const one: Neighbour = { device, address: ip("10.0.0.9"), mac: mac("02:00:00:00:00:09"), state: "permanent" };
      const six: Neighbour = { ...one, address: ip("fd00::9") };
      rtnl.do({ op: "neighbour.add", neighbour: one });
      rtnl.do({ op: "neighbour.add", neighbour: six });
      expect(rtnl.neighbours({ device, family: 4 })).toEqual([one]);
      expect(rtnl.neighbours({ device, family: 6 })).toContainEqual(six);
      expect(outcome(rtnl, { op: "neighbour.add", neighbour: one })).toBe("EEXIST");
      const moved: Neighbour = { ...one, mac: mac("02:00:00:00:00:0a") };
      expect(outcome(rtnl, { op: "neighbour.replace", neighbour: moved })).toBe("done");
      expect(rtnl.neighbours({ device, family: 4 })).toEqual([moved]);
      const { mac: _, ...bare } = one;
      const bareNew: Neighbour = { ...bare, address: ip("10.0.0.10") };
      expect(outcome(rtnl, { op: "neighbour.add", neighbour: bareNew })).toBe("EINVAL");
      expect(outcome(rtnl, { op: "neighbour.delete", neighbour: moved })).toBe("done");
      expect(outcome(rtnl, { op: "neighbour.delete", neighbour: moved })).toBe("ENOENT");
      expect(outcome(rtnl, { op: "neighbour.add", neighbour: { ...one, device: 99 } })).toBe("ENODEV");
      const proxy: Neighbour = { device, address: ip("169.254.1.1"), state: "none", proxy: true };
      rtnl.do({ op: "neighbour.add", neighbour: proxy });
      expect(rtnl.neighbours({ device, family: 4 })).not.toContainEqual(proxy);
      expect(rtnl.neighbours({ device, family: 4, proxy: true })).toEqual([proxy]);
      rtnl.do({ op: "neighbour.delete", neighbour: proxy });
      expect(rtnl.neighbours({ device, family: 4, proxy: true })).toEqual([]);
      expect(rtnl.neighbours({ device: 99 })).toEqual([]);
    });

    test("forwarding entries of a vxlan device", () => {
      const { rtnl } = fresh();
      const { index: device } = add(rtnl, { name: "vx0", kind: vxlan, up: true });
      const entry: FdbEntry = {
        device,
        mac: mac("0e:00:00:00:00:02"),
        remote: ip("10.0.0.2"),
        state: "permanent",
        self: true,
      };
      rtnl.do({ op: "fdb.add", entry });
      expect(rtnl.fdb({ device })).toEqual([entry]);
      expect(outcome(rtnl, { op: "fdb.add", entry })).toBe("EEXIST");
      const moved = { ...entry, remote: ip("10.0.0.3") };
      expect(outcome(rtnl, { op: "fdb.add", entry: moved })).toBe("EEXIST");
      // Only flood entries have several remotes; for others append succeeds and does nothing (vxlan_fdb_update_existing).
      expect(outcome(rtnl, { op: "fdb.append", entry: moved })).toBe("done");
      expect(rtnl.fdb({ device })).toEqual([entry]);
      expect(outcome(rtnl, { op: "fdb.replace", entry: moved })).toBe("done");
      expect(rtnl.fdb({ device })).toEqual([moved]);
      // A remote that the entry does not have: yes, and nothing happens (__vxlan_fdb_delete).
      expect(outcome(rtnl, { op: "fdb.delete", entry })).toBe("done");
      expect(rtnl.fdb({ device })).toEqual([moved]);
      const flood = { ...entry, mac: mac("00:00:00:00:00:00") };
      rtnl.do({ op: "fdb.append", entry: flood });
      rtnl.do({ op: "fdb.append", entry: { ...flood, remote: ip("10.0.0.3") } });
      expect(rtnl.fdb({ device }).length).toBe(3);
      rtnl.do({ op: "fdb.delete", entry: flood });
      expect(rtnl.fdb({ device }).length).toBe(2);
      rtnl.do({ op: "link.set", index: device, change: { up: false } });
      expect(rtnl.fdb({ device })).toContainEqual(moved);
      expect(outcome(rtnl, { op: "fdb.delete", entry: moved })).toBe("done");
      expect(outcome(rtnl, { op: "fdb.delete", entry: moved })).toBe("ENOENT");
      expect(outcome(rtnl, { op: "fdb.add", entry: { ...entry, device: 99 } })).toBe("ENODEV");
    });

    test("rules: the kernel's own, one of ours, twice", () => {
      const { rtnl } = fresh();
      expect(rtnl.rules(4).map(({ priority, table }) => [priority, table])).toEqual([
        [0, 255],
        [32766, 254],
        [32767, 253],
      ]);
      const rule = {
        family: 4,
        priority: 1000,
        table: 100,
        source: net("10.244.0.0/16"),
        mark: 0x10000,
        mask: 0xff0000,
        inputDevice: "lo",
        protocol: TWILL_ROUTE_PROTOCOL,
        action: "lookup",
      } as const;
      rtnl.do({ op: "rule.add", rule });
      expect(rtnl.rules(4)[1]).toEqual(rule);
      expect(outcome(rtnl, { op: "rule.add", rule })).toBe("EEXIST");
      rtnl.do({ op: "rule.delete", rule });
      expect(outcome(rtnl, { op: "rule.delete", rule })).toBe("ENOENT");
      expect(rtnl.rules(6).length).toBe(2);
    });

    test("where a packet would go", () => {
      const place = fresh();
      const { index: device } = wired(place);
      place.rtnl.do({ op: "route.add", route: route({ gateway: ip("10.0.0.2"), device }) });
      expect(place.rtnl.routeTo(ip("10.244.1.7"))).toMatchObject({ gateway: "10.0.0.2", device, type: "unicast" });
      expect(place.rtnl.routeTo(ip("10.0.0.7"))).toMatchObject({ device, destination: "10.0.0.7/32" });
      expect(place.rtnl.routeTo(ip("10.0.0.1"))).toMatchObject({ type: "local" });
      expect(() => place.rtnl.routeTo(ip("192.0.2.1"))).toThrow("ENETUNREACH");
      place.rtnl.do({ op: "route.add", route: route({ destination: net("192.0.2.0/24"), type: "unreachable" }) });
      expect(() => place.rtnl.routeTo(ip("192.0.2.1"))).toThrow("EHOSTUNREACH");
    });

    test("many operations: results in their order, and a failure stops nobody", () => {
      const place = fresh();
      const link = wired(place);
      const operations = Array.from({ length: 1000 }, (_, number): RtnlOperation => {
        const text = `10.50.${number >> 8}.${number & 255}`;
        return {
          op: "address.add",
          address: address(link, number % 100 === 7 ? "10.0.0.1" : text, number % 100 === 7 ? 24 : 32),
        };
      });
      const results = place.rtnl.apply(operations);
      expect(results.length).toBe(1000);
      results.forEach((error, number) => {
        expect(error?.code).toBe(number % 100 === 7 ? "exists" : undefined);
      });
      expect(place.rtnl.addresses({ device: link.index, family: 4 }).length).toBe(991);
      expect(place.rtnl.counters.writes["address.add"]).toBe(1002);
      expect(place.rtnl.counters.failures).toBe(10);
    });

    test("operations that depend on each other can go together", () => {
      const { rtnl } = fresh();
      const { index } = add(rtnl, { name: "vx0", kind: vxlan });
      const results = rtnl.apply([
        { op: "link.set", index, change: { up: true } },
        { op: "route.add", route: route({ gateway: ip("10.244.1.0"), device: index, onlink: true }) },
        { op: "route.delete", route: route({ gateway: ip("10.244.1.0"), device: index, onlink: true }) },
        { op: "link.delete", index },
      ]);
      expect(results).toEqual([undefined, undefined, undefined, undefined]);
      expect(named(rtnl)).toEqual(["lo"]);
    });
  });
}

import { type Address, familyOf, parseAddress } from "../base/address.ts";
import { isMulticast, type Mac, macBytes } from "../base/mac.ts";
import type { Link, LinkKind, LinkSpec, VxlanKind } from "../objects/link.ts";
import { EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, errnoError } from "./errno.ts";
import type { FakeForwarding } from "./fake-forwarding.ts";
import type { FakeNetwork } from "./fake-network.ts";
import type { FakeRouting } from "./fake-routing.ts";
import type { LinkChange, RtnlEvent } from "./rtnl.ts";

export interface FakeLink {
  link: Link;
  generation: NonNullable<LinkChange["addressGeneration"]>;
  /** bridge: a port has joined once; until then its carrier is never reckoned. */
  hadPorts?: boolean;
  /** veth: the other end. */
  peer?: { readonly links: FakeLinks; index: number };
}

/** The links of a fake namespace: what the kernel refuses, and what else changes when a link does. */
export class FakeLinks {
  readonly #network: FakeNetwork;
  readonly #routing: FakeRouting;
  readonly #forwarding: FakeForwarding;
  readonly #emit: (event: RtnlEvent) => void;
  readonly #byIndex = new Map<number, FakeLink>();
  #nextIndex = 1;

  constructor(
    network: FakeNetwork,
    routing: FakeRouting,
    forwarding: FakeForwarding,
    emit: (event: RtnlEvent) => void,
  ) {
    this.#network = network;
    this.#routing = routing;
    this.#forwarding = forwarding;
    this.#emit = emit;
  }

  get(index: number): FakeLink | undefined {
    return this.#byIndex.get(index);
  }

  all(): Link[] {
    return [...this.#byIndex.values()].map(({ link }) => link);
  }

  add(spec: LinkSpec): void {
    const home = this.#target(spec.netns);
    home.#checkName(spec.name);
    this.#checkKind(spec);
    if (spec.mac !== undefined && isMulticast(spec.mac)) throw errnoError(EADDRNOTAVAIL);
    const { kind } = spec;
    const peerSpec = spec.peer ?? (kind.type === "veth" && kind.peer !== undefined ? { name: kind.peer } : undefined);
    const peerHome = kind.type === "veth" ? this.#target(peerSpec?.netns) : undefined;
    if (peerSpec !== undefined && peerHome !== undefined) {
      if (peerHome === home && peerSpec.name === spec.name) throw errnoError(EEXIST);
      peerHome.#checkName(peerSpec.name);
    }
    // As the kernel: the peer is made first, and has the lower index.
    const peer = peerHome?.insert({
      ...fieldsOf(peerSpec ?? { name: peerHome.#freeName() }),
      kind: { type: "veth" },
    });
    const { lower } = spec;
    const lowerLink = lower === undefined ? undefined : this.#byIndex.get(lower)?.link;
    const made = home.insert({
      ...fieldsOf(spec),
      kind: readableKind(kind),
      mtu: spec.mtu ?? this.#defaultMtu(kind, lowerLink),
      ...(lower === undefined ? {} : { lower }),
    });
    if (peer !== undefined && peerHome !== undefined) {
      made.peer = { links: peerHome, index: peer.link.index };
      peer.peer = { links: home, index: made.link.index };
      home.#update(made, { lower: peer.link.index, ...home.#netnsOf(peerHome) });
      peerHome.#update(peer, { lower: made.link.index, ...peerHome.#netnsOf(home) });
      if (peerSpec?.master !== undefined) peerHome.#enslave(peer, peerSpec.master);
      if (peerSpec?.up === true) peerHome.#bringUp(peer);
    }
    home.#emitLink(made);
    if (spec.master !== undefined) home.#enslave(made, spec.master);
    if (spec.up === true) home.#bringUp(made);
  }

  #netnsOf(other: FakeLinks): { linkNetns?: number } {
    return other === this ? {} : { linkNetns: this.#network.idOf(other) };
  }

  #target(netns: number | undefined): FakeLinks {
    return netns === undefined ? this : this.#network.namespace(netns).linkTable;
  }

  #checkName(name: string): void {
    // dev_valid_name()
    if (!/^[^\s/:]{1,15}$/.test(name) || name === "." || name === "..") throw errnoError(EINVAL);
    if (this.named(name) !== undefined) throw errnoError(EEXIST);
  }

  #checkKind({ kind, lower, master }: LinkSpec): void {
    if (kind.type === "physical" || kind.type === "other")
      throw errnoError(EOPNOTSUPP, { detail: "Unknown device type" });
    if (kind.type === "macvlan") {
      if (lower === undefined) throw errnoError(EINVAL);
      if (!this.#byIndex.has(lower)) throw errnoError(ENODEV);
    }
    if (master !== undefined && master !== 0 && !this.#byIndex.has(master)) throw errnoError(EINVAL);
    if (kind.type === "vxlan") this.#checkVxlan(kind);
  }

  /** vxlan_config_validate(): one device a VNI, port and way of reading packets. */
  #checkVxlan(kind: VxlanKind): void {
    if (kind.underlay !== undefined && !this.#byIndex.has(kind.underlay)) throw errnoError(ENODEV);
    for (const { link } of this.#byIndex.values()) {
      const other = link.kind;
      if (other.type !== "vxlan" || other.vni !== kind.vni || other.port !== kind.port) continue;
      if (receiveFlags(other) !== receiveFlags(kind)) continue;
      throw errnoError(EEXIST, { detail: "A VXLAN device with the specified VNI already exists" });
    }
  }

  #defaultMtu(kind: LinkKind, lower: Link | undefined): number {
    if (kind.type === "macvlan") return lower?.mtu ?? 1500;
    if (kind.type !== "vxlan" || kind.underlay === undefined) return 1500;
    const overhead = kind.local !== undefined && familyOf(kind.local) === 6 ? 70 : 50;
    return (this.#byIndex.get(kind.underlay)?.link.mtu ?? 1500) - overhead;
  }

  insert(fields: Pick<Link, "name" | "kind"> & Partial<Link>): FakeLink {
    const index = this.#nextIndex++;
    const base = { mac: this.#network.mac(), mtu: 1500, up: false, carrier: false, loopback: false };
    const made: FakeLink = { link: { ...base, ...fields, index }, generation: "eui64" };
    this.#byIndex.set(index, made);
    return made;
  }

  #freeName(): string {
    for (let number = 0; ; number++) if (this.named(`veth${number}`) === undefined) return `veth${number}`;
  }

  named(name: string): FakeLink | undefined {
    for (const each of this.#byIndex.values()) if (each.link.name === name) return each;
    return undefined;
  }

  /** Whether a veth of this namespace ends in the other one. */
  reaches(other: FakeLinks): boolean {
    return other !== this && [...this.#byIndex.values()].some(({ peer }) => peer?.links === other);
  }

  #existing(index: number): FakeLink {
    const found = this.#byIndex.get(index);
    if (found === undefined) throw errnoError(ENODEV);
    return found;
  }

  #update(target: FakeLink, change: Partial<Link>): void {
    target.link = { ...target.link, ...change };
  }

  change(index: number, change: LinkChange): void {
    const target = this.#existing(index);
    const { name, mac, mtu, up, master, alias, netns, hairpin } = change;
    if (name !== undefined && name !== target.link.name) this.#checkName(name);
    if (mac !== undefined && isMulticast(mac)) throw errnoError(EADDRNOTAVAIL);
    if (mtu !== undefined && (mtu < 68 || mtu > 65535)) throw errnoError(EINVAL, { detail: "mtu out of range" });
    if (netns !== undefined) {
      this.#move(target, this.#target(netns), change);
      return;
    }
    this.#update(target, {
      ...(name === undefined ? {} : { name }),
      ...(mac === undefined ? {} : { mac }),
      ...(mtu === undefined ? {} : { mtu }),
      ...(alias === undefined ? {} : { alias }),
    });
    if (change.addressGeneration !== undefined) target.generation = change.addressGeneration;
    if (master !== undefined) this.#enslave(target, master);
    if (up === true) this.#bringUp(target);
    if (up === false) this.#bringDown(target);
    this.#emitLink(target);
    if (hairpin === undefined) return;
    if (target.link.master === undefined) throw errnoError(EOPNOTSUPP);
    this.#update(target, { hairpin });
    this.#emitLink(target);
  }

  #enslave(target: FakeLink, master: number): void {
    if (master === 0) {
      const { master: _, hairpin: __, ...rest } = target.link;
      target.link = rest;
      this.refreshCarriers();
      return;
    }
    const bridge = this.#byIndex.get(master);
    if (bridge === undefined) throw errnoError(EINVAL);
    if (bridge.link.kind.type !== "bridge") throw errnoError(EOPNOTSUPP);
    bridge.hadPorts = true;
    this.#update(target, { master, hairpin: false });
    this.refreshCarriers();
  }

  #bringUp(target: FakeLink): void {
    if (target.link.up) return;
    this.#update(target, { up: true });
    if (target.link.loopback) {
      const scope = "host";
      const add = (text: string, length: number) =>
        this.#routing.addAddress({ device: target.link.index, address: parseAddress(text), length, scope }, true);
      if (!this.#routing.addresses.some(({ device }) => device === target.link.index)) add("127.0.0.1", 8);
      add("::1", 128);
    }
    this.#routing.linkUp(target.link);
    this.refreshCarriers();
    this.#emitLink(target);
  }

  #bringDown(target: FakeLink): void {
    if (!target.link.up) return;
    this.#update(target, { up: false, carrier: false });
    this.#routing.linkDown(target.link.index);
    this.#forwarding.linkDown(target.link.index);
    this.refreshCarriers();
  }

  /** A veth has a carrier when both ends are up, a bridge that has had ports when one of them has, a macvlan when its lower device has. */
  refreshCarriers(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const each of this.#byIndex.values()) {
        const carrier = each.link.up && this.#hasCarrier(each);
        if (carrier === each.link.carrier) continue;
        changed = true;
        this.#update(each, { carrier });
        if (carrier) this.#linkLocal(each);
        this.#emitLink(each);
        each.peer?.links.refreshCarriers();
      }
    }
  }

  #hasCarrier({ link, peer, hadPorts }: FakeLink): boolean {
    if (link.kind.type === "veth") return peer?.links.get(peer.index)?.link.up === true;
    if (link.kind.type === "bridge" && hadPorts === true) {
      return [...this.#byIndex.values()].some((port) => port.link.master === link.index && port.link.carrier);
    }
    if (link.kind.type === "macvlan") return this.#byIndex.get(link.lower ?? 0)?.link.carrier === true;
    return true;
  }

  /** The address that IPv6 gives itself when a link becomes ready; not to bridge ports. */
  #linkLocal({ link, generation }: FakeLink): void {
    if (link.loopback || link.mac === undefined || generation === "none" || link.mtu < 1280) return;
    if (link.master !== undefined) return;
    const device = link.index;
    const address = eui64(link.mac);
    if (this.#routing.addresses.some((other) => other.device === device && other.address === address)) return;
    this.#routing.addAddress({ device, address, length: 64, scope: "link" }, true);
  }

  #move(target: FakeLink, home: FakeLinks, change: LinkChange): void {
    const { netns: _, ...rest } = change;
    const name = change.name ?? target.link.name;
    home.#checkName(name);
    if (target.link.loopback) throw errnoError(EINVAL);
    this.#bringDown(target);
    this.#forget(target);
    const { index: _index, master: _master, hairpin: _hairpin, ...fields } = target.link;
    const moved = home.insert({ ...fields, name });
    if (target.peer !== undefined) {
      moved.peer = target.peer;
      const other = target.peer.links.get(target.peer.index);
      if (other !== undefined) other.peer = { links: home, index: moved.link.index };
    }
    home.#emitLink(moved);
    home.change(moved.link.index, { ...rest, name });
  }

  delete(index: number): void {
    const target = this.#existing(index);
    if (target.link.kind.type === "physical") throw errnoError(EOPNOTSUPP);
    this.#remove(target);
  }

  #remove(target: FakeLink): void {
    this.#bringDown(target);
    this.#forget(target);
    const { peer } = target;
    const other = peer?.links.get(peer.index);
    if (peer !== undefined && other !== undefined) peer.links.#remove(other);
    for (const each of [...this.#byIndex.values()]) {
      const { link } = each;
      const sitsOn = link.kind.type === "macvlan" && link.lower === target.link.index;
      const tunnelsOver = link.kind.type === "vxlan" && link.kind.underlay === target.link.index;
      if (sitsOn || tunnelsOver) this.#remove(each);
      else if (link.master === target.link.index) this.#enslave(each, 0);
    }
    this.refreshCarriers();
  }

  /** Takes a link out of this namespace, with all that hangs on its index. */
  #forget(target: FakeLink): void {
    const { index } = target.link;
    this.#byIndex.delete(index);
    this.#routing.linkGone(index);
    this.#forwarding.linkGone(index);
    this.#emit({ type: "link", change: "delete", link: target.link });
  }

  #emitLink({ link }: FakeLink): void {
    this.#emit({ type: "link", change: "new", link });
  }
}

function fieldsOf(spec: Omit<LinkSpec, "kind">): Pick<Link, "name"> & Partial<Link> {
  const { name, mac, mtu, alias } = spec;
  return {
    name,
    ...(mac === undefined ? {} : { mac }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(alias === undefined ? {} : { alias }),
  };
}

/** The kind as the kernel reports it: every attribute has a value. */
function readableKind(kind: LinkKind): LinkKind {
  if (kind.type === "veth") return { type: "veth" };
  if (kind.type === "bridge") return { type: "bridge", vlanFiltering: kind.vlanFiltering ?? false };
  if (kind.type !== "vxlan") return kind;
  return {
    ...kind,
    udpChecksum: kind.udpChecksum ?? true,
    udpZeroChecksum6Tx: kind.udpZeroChecksum6Tx ?? false,
    udpZeroChecksum6Rx: kind.udpZeroChecksum6Rx ?? false,
  };
}

/** VXLAN_F_RCV_FLAGS and VXLAN_F_IPV6: devices that differ here may share VNI and port. */
const receiveFlags = (kind: VxlanKind): string =>
  [kind.gbp, kind.udpZeroChecksum6Rx === true, kind.local !== undefined && familyOf(kind.local) === 6].join();

/** RFC 4291 appendix A: the universal bit turned over, ff:fe in the middle. */
function eui64(mac: Mac): Address {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  const group = (high: number, low: number) => ((high << 8) | low).toString(16);
  return parseAddress(`fe80::${group(a ^ 2, b)}:${group(c, 0xff)}:${group(0xfe, d)}:${group(e, f)}`);
}

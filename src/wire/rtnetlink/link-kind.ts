import { addressFromBytes, bytesOf, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import type { BridgeKind, LinkKind, MacvlanKind, MacvlanMode, VxlanKind } from "../../objects/link.ts";
import type { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";

/** IFLA_LINKINFO: include/uapi/linux/if_link.h. */
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;

const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_UDP_CSUM = 18;
const IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19;
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20;
const IFLA_VXLAN_GBP = 23;

const IFLA_BR_VLAN_FILTERING = 7;

const IFLA_MACVLAN_MODE = 1;
/** enum macvlan_mode */
const macvlanModes = new Map<MacvlanMode, number>([
  ["private", 1],
  ["vepa", 2],
  ["bridge", 4],
  ["passthru", 8],
]);

const kernelNames = { veth: "veth", vxlan: "vxlan", bridge: "bridge", macvlan: "macvlan" } as const;

/** The name that the kernel knows the kind by; undefined for hardware and loopback. */
export function kindName(kind: LinkKind): string | undefined {
  if (kind.type === "physical") return undefined;
  return kind.type === "other" ? kind.name : kernelNames[kind.type];
}

/**
 * Appends IFLA_INFO_KIND and IFLA_INFO_DATA. `data` adds what is not part of the kind itself (a veth's peer).
 */
export function encodeLinkKind(
  attributes: AttributeWriter,
  kind: LinkKind,
  data?: (attributes: AttributeWriter) => void,
): void {
  const name = kindName(kind);
  if (name === undefined) return;
  attributes.string(IFLA_INFO_KIND, name);
  if (data !== undefined) attributes.nested(IFLA_INFO_DATA, data);
  else if (kind.type === "vxlan") attributes.nested(IFLA_INFO_DATA, (inner) => encodeVxlan(inner, kind));
  else if (kind.type === "bridge") attributes.nested(IFLA_INFO_DATA, (inner) => encodeBridge(inner, kind));
  else if (kind.type === "macvlan") attributes.nested(IFLA_INFO_DATA, (inner) => encodeMacvlan(inner, kind));
}

/** @param info the inside of IFLA_LINKINFO. */
export function decodeLinkKind(name: string, data: AttributeReader | undefined): LinkKind {
  switch (name) {
    case "veth":
      return { type: "veth" };
    case "vxlan":
      return decodeVxlan(data);
    case "bridge":
      return decodeBridge(data);
    case "macvlan":
      return decodeMacvlan(data);
    default:
      return { type: "other", name };
  }
}

function encodeVxlan(attributes: AttributeWriter, kind: VxlanKind): void {
  attributes.u32(IFLA_VXLAN_ID, kind.vni).u16be(IFLA_VXLAN_PORT, kind.port);
  if (kind.local !== undefined) {
    attributes.raw(familyOf(kind.local) === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, bytesOf(kind.local));
  }
  if (kind.underlay !== undefined) attributes.u32(IFLA_VXLAN_LINK, kind.underlay);
  attributes.u8(IFLA_VXLAN_LEARNING, kind.learning ? 1 : 0);
  // A flag without a value: its presence is the whole message.
  if (kind.gbp) attributes.flag(IFLA_VXLAN_GBP);
  optionalBit(attributes, IFLA_VXLAN_UDP_CSUM, kind.udpChecksum);
  optionalBit(attributes, IFLA_VXLAN_UDP_ZERO_CSUM6_TX, kind.udpZeroChecksum6Tx);
  optionalBit(attributes, IFLA_VXLAN_UDP_ZERO_CSUM6_RX, kind.udpZeroChecksum6Rx);
}

function optionalBit(attributes: AttributeWriter, type: number, value: boolean | undefined): void {
  if (value !== undefined) attributes.u8(type, value ? 1 : 0);
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function decodeVxlan(data: AttributeReader | undefined): VxlanKind {
  const kind: Writable<VxlanKind> = { type: "vxlan", vni: 0, port: 0, learning: false, gbp: false };
  while (data?.next() === true) {
    switch (data.type) {
      case IFLA_VXLAN_ID:
        kind.vni = data.u32();
        break;
      case IFLA_VXLAN_PORT:
        kind.port = data.u16be();
        break;
      case IFLA_VXLAN_LOCAL:
      case IFLA_VXLAN_LOCAL6:
        kind.local = addressFromBytes(data.bytes());
        break;
      case IFLA_VXLAN_LINK:
        // 0: no underlay device was named.
        if (data.u32() !== 0) kind.underlay = data.u32();
        break;
      case IFLA_VXLAN_LEARNING:
        kind.learning = data.u8() !== 0;
        break;
      case IFLA_VXLAN_GBP:
        kind.gbp = true;
        break;
      case IFLA_VXLAN_UDP_CSUM:
        kind.udpChecksum = data.u8() !== 0;
        break;
      case IFLA_VXLAN_UDP_ZERO_CSUM6_TX:
        kind.udpZeroChecksum6Tx = data.u8() !== 0;
        break;
      case IFLA_VXLAN_UDP_ZERO_CSUM6_RX:
        kind.udpZeroChecksum6Rx = data.u8() !== 0;
        break;
    }
  }
  return kind;
}

function encodeBridge(attributes: AttributeWriter, kind: BridgeKind): void {
  optionalBit(attributes, IFLA_BR_VLAN_FILTERING, kind.vlanFiltering);
}

function decodeBridge(data: AttributeReader | undefined): BridgeKind {
  while (data?.next() === true) {
    if (data.type === IFLA_BR_VLAN_FILTERING) return { type: "bridge", vlanFiltering: data.u8() !== 0 };
  }
  return { type: "bridge" };
}

function encodeMacvlan(attributes: AttributeWriter, kind: MacvlanKind): void {
  const mode = macvlanModes.get(kind.mode);
  if (mode === undefined) throw new TwillError("internal", `${kind.mode} is not a macvlan mode`);
  attributes.u32(IFLA_MACVLAN_MODE, mode);
}

function decodeMacvlan(data: AttributeReader | undefined): LinkKind {
  while (data?.next() === true) {
    if (data.type !== IFLA_MACVLAN_MODE) continue;
    const number = data.u32();
    for (const [mode, value] of macvlanModes) if (value === number) return { type: "macvlan", mode };
    break;
  }
  // "source" mode, which Twill never makes and must not take for one of its own.
  return { type: "other", name: "macvlan" };
}

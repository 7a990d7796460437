import { createHash } from "node:crypto";
import { localMac, type Mac } from "../base/mac.ts";
import type { Link } from "../objects/link.ts";
import type { AttachmentKey } from "./attachment.ts";

/** IFLA_IFALIAS of every device that Twill makes. */
export const twillAlias = "twill";

/** What is derived from a key is the same after a restart, so a half-made pod is found again without any record. */
function digest(key: AttachmentKey): Buffer {
  // No field of a key can hold a NUL (CNI allows letters, digits and a few signs), so no two keys run together.
  return createHash("sha256").update(`${key.network}\0${key.containerId}\0${key.ifname}`).digest();
}

/** Name of the host's end: "twl" and 44 bits of the key's hash, 14 characters (IFNAMSIZ allows 15). */
export const hostDeviceName = (key: AttachmentKey): string => `twl${digest(key).toString("hex").slice(0, 11)}`;

const hostDevicePattern = /^twl[0-9a-f]{11}$/;

export interface Macs {
  readonly host: Mac;
  readonly pod: Mac;
}

/**
 * Given explicitly, so that udev and systemd-networkd leave them alone: MACAddressPolicy only replaces addresses that the
 * kernel made up (addr_assign_type NET_ADDR_RANDOM).
 */
export function macsOf(key: AttachmentKey): Macs {
  const bytes = digest(key);
  return { host: localMac(bytes.subarray(8, 14)), pod: localMac(bytes.subarray(16, 22)) };
}

/** Host ends of ours, by name and kind: the alias is for people, and anybody may have changed it. */
export const isHostDevice = (link: Link): boolean => link.kind.type === "veth" && hostDevicePattern.test(link.name);

export function strayDevices(links: readonly Link[], known: readonly AttachmentKey[]): string[] {
  const wanted = new Set(known.map(hostDeviceName));
  return links.filter((link) => isHostDevice(link) && !wanted.has(link.name)).map((link) => link.name);
}

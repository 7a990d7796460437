import { isMulticast, type Mac, tryMac } from "../../base/mac.ts";
import type { VxlanConfig } from "../../model/network.ts";

/** Flannel's BackendData of a VXLAN lease: {"VNI":1,"VtepMAC":"0e:…"}. Versions of Flannel before 0.12 wrote no VNI. */
export interface VxlanData {
  readonly VNI?: number;
  readonly VtepMAC: Mac;
}

export const writeVxlanData = (config: VxlanConfig, mac: Mac): VxlanData => ({ VNI: config.vni, VtepMAC: mac });

/** What a peer wrote is untrusted. Returns the reason, as half a sentence, when it cannot be used. */
export function readVxlanData(data: unknown): VxlanData | string {
  if (data === undefined || data === null) return "says nothing about its tunnel";
  if (typeof data !== "object") return "describes its tunnel by something other than an object";
  const { VNI: vni, VtepMAC: text } = data as { readonly VNI?: unknown; readonly VtepMAC?: unknown };
  const mac = typeof text === "string" ? tryMac(text) : undefined;
  if (mac === undefined || isMulticast(mac) || mac === "00:00:00:00:00:00") {
    return `has the VtepMAC ${JSON.stringify(text) ?? "undefined"}, which is not the Ethernet address of one device`;
  }
  if (vni === undefined) return { VtepMAC: mac };
  if (typeof vni !== "number" || !Number.isInteger(vni)) return `has the VNI ${JSON.stringify(vni)}`;
  return { VNI: vni, VtepMAC: mac };
}

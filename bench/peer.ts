import { type Address, parseAddress } from "../src/base/address.ts";
import { parsePrefix } from "../src/base/prefix.ts";
import { encodeLease } from "../src/intent/flannel/lease.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";

/** The other nodes of a simulated cluster, by number: nothing answers at their addresses. */

/** Room for 51,200 peers below SubnetMin; the node under test takes its subnet from above. */
export const networkOfPeers = {
  Network: "10.0.0.0/8",
  SubnetLen: 24,
  SubnetMin: "10.200.0.0",
  Backend: { Type: "vxlan" },
};

const octets = (peer: number): string => `${Math.floor(peer / 256)}.${peer % 256}`;
const hex = (value: number): string => value.toString(16).padStart(2, "0");

export const nameOf = (peer: number): string => `peer-${peer}`;
const subnetOf = (peer: number): string => `10.${octets(peer)}.0`;
const hostOf = (peer: number): string => `172.16.${octets(peer)}`;
const macOf = (peer: number): string => `0e:00:00:00:${hex(Math.floor(peer / 256))}:${hex(peer % 256)}`;
const podOf = (peer: number): Address => parseAddress(`10.${octets(peer)}.2`);

/** As our agents write it. */
export const leaseOf = (peer: number): Uint8Array =>
  encodeLease({
    node: nameOf(peer),
    subnets: [parsePrefix(`${subnetOf(peer)}/24`)],
    addresses: [parseAddress(hostOf(peer))],
    backendType: "vxlan",
    // Most of them are asked at any time, and none answers.
    peerPort: 9098,
    backendData: { 4: { VNI: 1, VtepMAC: macOf(peer) } },
  });

/** As flanneld writes it to etcd: key below its prefix, and value. */
export function flannelLeaseOf(peer: number): { readonly key: string; readonly value: string } {
  const value = {
    PublicIP: hostOf(peer),
    PublicIPv6: null,
    BackendType: "vxlan",
    BackendData: { VNI: 1, VtepMAC: macOf(peer) },
  };
  return { key: `subnets/${subnetOf(peer)}-24`, value: JSON.stringify(value) };
}

export function isRouted(rtnl: Rtnl, peer: number): boolean {
  const device = rtnl.link("flannel.1")?.index;
  return device !== undefined && rtnl.routeTo(podOf(peer)).device === device;
}

/** Routes, neighbours and FDB entries of peers. */
export function kernelEntries(rtnl: Rtnl): readonly [number, number, number] {
  const device = rtnl.link("flannel.1")?.index;
  if (device === undefined) return [0, 0, 0];
  return [
    rtnl.routes({ device }).filter(({ gateway }) => gateway !== undefined).length,
    rtnl.neighbours({ device }).filter(({ state }) => state === "permanent").length,
    rtnl.fdb({ device }).filter(({ mac }) => mac.startsWith("0e:00:00:00:")).length,
  ];
}

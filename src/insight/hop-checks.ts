import type { Address } from "../base/address.ts";
import type { Link } from "../objects/link.ts";
import type { Route } from "../objects/route.ts";
import type { HopRecord } from "./hop-record.ts";
import { type KernelView, linkNamed } from "./kernel-view.ts";
import type { NodeView } from "./node-view.ts";
import type { ProbePacket } from "./probe-packet.ts";

/** What the parts of a walk share: the node, the packet, and the hops so far. */
export interface WalkState {
  readonly view: NodeView;
  readonly packet: ProbePacket;
  readonly record: HopRecord;
}

export const startAgent = "look at twill status of this node: a running agent puts it right";

/** As rules see it. */
export const deviceOf = (kernel: KernelView, name: string): { readonly name: string; readonly index: number } => ({
  name,
  index: linkNamed(kernel, name)?.index ?? 0,
});

/** Out of the node by this device. */
export function leaveBy({ record }: WalkState, device: Link, text: string): void {
  if (!device.up) record.stop(device.name, "the device is down", `ip link set ${device.name} up`);
  if (!device.carrier) record.stop(device.name, "no carrier: the cable or the switch", "look at the cable");
  record.pass(device.name, text, { device: device.name, outgoing: true });
}

export function checkSize(
  { packet, record }: WalkState,
  place: string,
  device: string,
  route: Route,
  mtu: number | undefined,
): void {
  const limit = Math.min(route.mtu ?? Number.POSITIVE_INFINITY, mtu ?? Number.POSITIVE_INFINITY);
  if (packet.size <= limit) return;
  record.stop(
    place,
    `${packet.size} bytes do not fit ${device} (MTU ${limit})`,
    "send smaller packets: this is an error that the sender is told",
  );
}

/** A missing entry stops nothing: the kernel asks the segment. One that failed may be asked for again, too. */
export function checkNeighbour(
  { record }: WalkState,
  kernel: KernelView,
  place: string,
  device: number | undefined,
  address: Address,
): void {
  const entry = kernel.neighbours.find((one) => one.device === device && one.address === address);
  if (entry?.state !== "failed" && entry?.state !== "incomplete") return;
  record.add({
    place,
    text: `${address} did not answer when its Ethernet address was asked for (ARP or ND)`,
    verdict: "unsure",
  });
}

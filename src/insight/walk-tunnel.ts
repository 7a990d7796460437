import { type Address, familyOf } from "../base/address.ts";
import type { Link } from "../objects/link.ts";
import { checkNeighbour, deviceOf, leaveBy, startAgent, type WalkState } from "./hop-checks.ts";
import { linkNamed, linkOf } from "./kernel-view.ts";
import type { Encapsulation, Exit } from "./leg.ts";
import type { ProbePacket } from "./probe-packet.ts";
import { describeRoute, failsReversePath, lookupRoute } from "./route-lookup.ts";
import { outerPacket, passDevice, passHook } from "./ruleset.ts";

/** Bytes that VXLAN puts around an IP packet, RFC 7348: inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header. */
export const vxlanOverhead = (outer: Address): number => 30 + (familyOf(outer) === 4 ? 20 : 40);

/** Into the tunnel: who is behind the next hop, and the way of the outer packet. */
export function encapsulate(state: WalkState, device: Link, nextHop: Address, packet: ProbePacket): Exit {
  const { record } = state;
  const { kernel } = state.view;
  if (device.kind.type !== "vxlan") return { to: "nowhere" };
  if (!device.up) return record.stop(device.name, "the tunnel device is down", startAgent);
  const neighbour = kernel.neighbours.find((entry) => entry.device === device.index && entry.address === nextHop);
  if (neighbour?.mac === undefined) return record.stop(device.name, `no neighbour entry for ${nextHop}`, startAgent);
  const entry = kernel.fdb.find(
    (one) => one.device === device.index && one.mac === neighbour.mac && one.remote !== undefined,
  );
  if (entry?.remote === undefined)
    return record.stop(
      device.name,
      `no forwarding entry (FDB) for ${neighbour.mac}, the tunnel end of ${nextHop}`,
      startAgent,
    );
  const remote = entry.remote;
  record.pass(device.name, `${nextHop} is ${neighbour.mac}, behind ${remote}; VNI ${device.kind.vni}`, {
    device: device.name,
    outgoing: true,
  });
  const local = device.kind.local;
  const source = local ?? remote;
  const outer = outerPacket(source, remote, device.kind.port, packet.size + vxlanOverhead(remote));
  const decision = lookupRoute(kernel, { destination: remote, ...(local === undefined ? {} : { source: local }) });
  if (decision.found === undefined)
    return record.stop("underlay", decision.reason, "mend the node's route to the other nodes");
  const route = decision.found;
  const out = linkOf(kernel, route.device);
  if (out === undefined || route.type !== "unicast")
    return record.stop(
      "underlay",
      `${describeRoute(kernel, route)} leads to no other node`,
      "mend the node's route to the other nodes",
    );
  if (outer.size > out.mtu) {
    return record.stop(
      "underlay",
      `${outer.size} bytes with the tunnel's headers do not fit ${out.name} (MTU ${out.mtu})`,
      `a smaller MTU of the pods, or a larger one of ${out.name}`,
    );
  }
  const context = { packet: outer, outputDevice: deviceOf(kernel, out.name) };
  record.hook("output", passHook(kernel.ruleset, "output", context));
  record.hook("postrouting", passHook(kernel.ruleset, "postrouting", context));
  record.hook(out.name, passDevice(kernel.ruleset, "egress", out.name, context));
  const gateway = route.gateway ?? remote;
  checkNeighbour(state, kernel, out.name, out.index, gateway);
  leaveBy(
    state,
    out,
    `${local ?? "the node"} to ${remote}, UDP ${device.kind.port}${gateway === remote ? "" : `, by way of ${gateway}`}`,
  );
  const { vni, port } = device.kind;
  return {
    to: "wire",
    nextHop: gateway,
    packet,
    encapsulation: { vni, port, local: source, remote, destinationMac: neighbour.mac },
  };
}

/** From the wire. @returns the device by which the packet itself appears on this node. */
export function receive(state: WalkState, encapsulation: Encapsulation | undefined): string {
  const { record } = state;
  const { kernel, underlay } = state.view;
  const own =
    encapsulation === undefined ? undefined : kernel.addresses.find(({ address }) => address === encapsulation.remote);
  const device = linkOf(kernel, own?.device)?.name ?? underlay;
  if (device === undefined) return record.stop("underlay", "the node knows no underlay device", "twill status");
  const link = linkNamed(kernel, device);
  if (link?.up !== true || !link.carrier)
    return record.stop(
      device,
      link?.up === true ? "no carrier: the cable or the switch" : "the device is down",
      `ip link set ${device} up; look at the cable`,
    );
  record.pass(device, encapsulation === undefined ? "comes in" : `UDP ${encapsulation.port} comes in`, {
    device,
    outgoing: false,
  });
  if (encapsulation === undefined) return device;
  if (own === undefined)
    return record.stop(
      device,
      `the node has not the address ${encapsulation.remote}`,
      "the node's lease names another underlay address than it has: restart its agent",
    );
  return decapsulate(state, device, encapsulation);
}

function decapsulate(state: WalkState, device: string, encapsulation: Encapsulation): string {
  const { record, packet } = state;
  const { kernel } = state.view;
  const outer = outerPacket(
    encapsulation.local,
    encapsulation.remote,
    encapsulation.port,
    packet.size + vxlanOverhead(encapsulation.remote),
  );
  const context = { packet: outer, inputDevice: deviceOf(kernel, device) };
  record.hook(device, passDevice(kernel.ruleset, "ingress", device, context));
  record.hook("prerouting", passHook(kernel.ruleset, "prerouting", context));
  if (failsReversePath(kernel, outer.source, device)) {
    const back = lookupRoute(kernel, { destination: outer.source }).found;
    return record.stop(
      device,
      `rp_filter of ${device} drops packets from ${outer.source}: the way back is ${back === undefined ? "none" : describeRoute(kernel, back)}`,
      `sysctl -w net.ipv4.conf.${device}.rp_filter=2, or mend the route`,
    );
  }
  record.hook("input", passHook(kernel.ruleset, "input", context));
  const tunnel = kernel.links.find(
    // Both families' devices may have one VNI and port.
    ({ kind }) =>
      kind.type === "vxlan" &&
      kind.vni === encapsulation.vni &&
      kind.port === encapsulation.port &&
      familyOf(kind.local ?? encapsulation.remote) === familyOf(encapsulation.remote),
  );
  if (tunnel === undefined)
    return record.stop(
      "tunnel",
      `no VXLAN device of VNI ${encapsulation.vni} on UDP port ${encapsulation.port}`,
      startAgent,
    );
  if (!tunnel.up) return record.stop(tunnel.name, "the tunnel device is down", startAgent);
  if (tunnel.mac !== encapsulation.destinationMac) {
    return record.stop(
      tunnel.name,
      `it has the address ${tunnel.mac}, and the sender writes to ${encapsulation.destinationMac}`,
      startAgent,
    );
  }
  record.pass(tunnel.name, "the packet comes out of the tunnel", { device: tunnel.name, outgoing: false });
  return tunnel.name;
}

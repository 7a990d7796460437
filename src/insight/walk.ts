import { type Address, familyOf } from "../base/address.ts";
import type { Link } from "../objects/link.ts";
import type { NftHook } from "../objects/nft.ts";
import type { Route } from "../objects/route.ts";
import { HopRecord, Stopped } from "./hop-record.ts";
import { type KernelView, linkNamed, linkOf, nameOf } from "./kernel-view.ts";
import type { Encapsulation, Entry, Exit, Hop, Leg } from "./leg.ts";
import { type NodeView, type PodView, podId } from "./node-view.ts";
import type { ProbePacket } from "./probe-packet.ts";
import { describeRoute, failsReversePath, lookupRoute } from "./route-lookup.ts";
import { outerPacket, passDevice, passHook } from "./ruleset.ts";

/** Bytes that VXLAN puts around an IP packet, RFC 7348: inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header. */
export const vxlanOverhead = (outer: Address): number => 30 + (familyOf(outer) === 4 ? 20 : 40);

/**
 * What this node's kernel would do with a packet, from its dumps alone: nothing is sent and nothing is written. Each step is
 * a hop; the first that stops the packet ends the leg.
 */
export function walk(view: NodeView, entry: Entry, packet: ProbePacket): Leg {
  return new Walk(view, packet).run(entry);
}

class Walk {
  readonly #view: NodeView;
  readonly #packet: ProbePacket;
  readonly #record: HopRecord;

  constructor(view: NodeView, packet: ProbePacket) {
    this.#view = view;
    this.#record = new HopRecord(view.node);
    this.#packet = packet;
  }

  run(entry: Entry): Leg {
    let exit: Exit = { to: "nowhere" };
    try {
      exit = this.#from(entry);
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
    return { node: this.#view.node, hops: this.#record.hops, exit };
  }

  #from(entry: Entry): Exit {
    switch (entry.from) {
      case "pod":
        return this.#forward(this.#leavePod(entry.pod), this.#packet);
      case "node":
        return this.#send(this.#packet);
      default:
        return this.#forward(this.#receive(entry.encapsulation), this.#packet);
    }
  }

  // The pod

  /** @returns the node's device by which the packet comes out of the pod. */
  #leavePod(id: string): string {
    const { pod, kernel } = this.#pod(id);
    const place = `pod ${id}`;
    this.#podDevice(pod, kernel, place);
    const decision = lookupRoute(kernel, this.#packet);
    if (decision.found === undefined) return this.#record.stop(place, decision.reason, remakePod);
    const route = decision.found;
    if (route.type === "local")
      return this.#record.stop(
        place,
        `${this.#packet.destination} is an address of the pod itself`,
        "trace another pod",
      );
    this.#checkSize(place, nameOf(kernel, route.device), route, linkOf(kernel, route.device)?.mtu);
    const nextHop = route.gateway ?? this.#packet.destination;
    this.#checkNeighbour(kernel, place, route.device, nextHop, "passes");
    this.#record.pass(place, describeRoute(kernel, route), {
      pod: id,
      device: nameOf(kernel, route.device),
      outgoing: true,
    });
    if (pod.hostDevice === undefined)
      return this.#record.stop(
        place,
        `a ${pod.attachment} interface does not pass the node`,
        "look at the segment that it is on",
      );
    const host = linkNamed(this.#view.kernel, pod.hostDevice);
    if (host === undefined) return this.#record.stop(place, `the node's device ${pod.hostDevice} is gone`, remakePod);
    if (!host.up)
      return this.#record.stop(
        pod.hostDevice,
        "the node's end of the pod's link is down",
        "twill doctor --fix, or start the agent: it brings it up",
      );
    this.#record.pass(pod.hostDevice, `from pod ${id}`, { device: pod.hostDevice, outgoing: false });
    const bridge = linkOf(this.#view.kernel, host.master);
    return bridge?.name ?? pod.hostDevice;
  }

  #podDevice(pod: PodView, kernel: KernelView, place: string): Link {
    const link = linkNamed(kernel, pod.ifname);
    if (link === undefined) return this.#record.stop(place, `it has no ${pod.ifname}`, remakePod);
    if (!link.up) return this.#record.stop(place, `its ${pod.ifname} is down`, remakePod);
    return link;
  }

  #pod(id: string): { readonly pod: PodView; readonly kernel: KernelView } {
    const pod = this.#view.pods.find((candidate) => podId(candidate) === id);
    if (pod === undefined)
      return this.#record.stop(`pod ${id}`, "it is not on this node", "twill get endpoints lists them");
    if (pod.kernel === undefined)
      return this.#record.stop(
        `pod ${id}`,
        `its network namespace ${pod.netns} is gone`,
        "its sandbox has ended: delete the pod",
      );
    return { pod, kernel: pod.kernel };
  }

  #deliver(id: string, device: string): Exit {
    const host = linkNamed(this.#view.kernel, device);
    if (host?.up === false)
      return this.#record.stop(device, "the node's end of the pod's link is down", "start the agent: it brings it up");
    this.#record.pass(device, `to pod ${id}`, { device, outgoing: true });
    const { pod, kernel } = this.#pod(id);
    const place = `pod ${id}`;
    const link = this.#podDevice(pod, kernel, place);
    const decision = lookupRoute(kernel, { destination: this.#packet.destination, inputDevice: link.name });
    if (decision.found?.type !== "local")
      return this.#record.stop(place, `it has not the address ${this.#packet.destination}`, remakePod);
    if (failsReversePath(kernel, this.#packet.source, link.name)) {
      return this.#record.stop(
        place,
        `its rp_filter drops packets from ${this.#packet.source}, whose route leads elsewhere`,
        "look at the routes inside the pod",
      );
    }
    this.#record.pass(place, `${link.name} has ${this.#packet.destination}`, {
      pod: id,
      device: link.name,
      outgoing: false,
    });
    return { to: "pod", pod: id };
  }

  // The node's routing

  /** @param input the device by which the packet came to the node's routing. */
  #forward(input: string, packet: ProbePacket): Exit {
    const { kernel } = this.#view;
    const context = { packet, inputDevice: this.#device(input) };
    this.#record.hook(input, passDevice(kernel.ruleset, "ingress", input, context));
    const before = this.#record.hook("prerouting", passHook(kernel.ruleset, "prerouting", context));
    if (before.translates !== undefined) {
      this.#record.note(
        "prerouting",
        `the destination is translated by ${before.translates.by}; where to, only the packet itself shows`,
      );
      return { to: "nowhere" };
    }
    if (failsReversePath(kernel, packet.source, input)) {
      const back = lookupRoute(kernel, { destination: packet.source }).found;
      const why = back === undefined ? "there is no route back" : `the way back is ${describeRoute(kernel, back)}`;
      return this.#record.stop(
        "routing",
        `rp_filter of ${input} drops packets from ${packet.source}: ${why}`,
        `sysctl -w net.ipv4.conf.${input}.rp_filter=2, or mend the route`,
      );
    }
    const decision = lookupRoute(kernel, { ...packet, inputDevice: input });
    if (decision.found === undefined)
      return this.#record.stop(
        "routing",
        decision.reason,
        "twill doctor tells why; a running agent puts its routes back",
      );
    const route = decision.found;
    if (route.type === "local") return this.#intoNode(input, packet);
    if (route.type !== "unicast")
      return this.#record.stop(
        "routing",
        `${describeRoute(kernel, route)}: nothing is forwarded there`,
        "mend this route",
      );
    if (!forwards(kernel, familyOf(packet.source), input)) {
      return this.#record.stop(
        "routing",
        `forwarding is off (of ${input})`,
        familyOf(packet.source) === 4 ? "sysctl -w net.ipv4.ip_forward=1" : "sysctl -w net.ipv6.conf.all.forwarding=1",
      );
    }
    this.#record.pass("routing", describeRoute(kernel, route));
    return this.#leave(route, packet, input);
  }

  /** The node's own packet. */
  #send(packet: ProbePacket): Exit {
    const { kernel } = this.#view;
    const decision = lookupRoute(kernel, packet);
    if (decision.found === undefined) return this.#record.stop("routing", decision.reason, "mend the node's routes");
    if (decision.found.type === "local")
      return this.#record.stop("routing", `${packet.destination} is the node itself`, "trace another address");
    this.#record.pass("routing", describeRoute(kernel, decision.found));
    return this.#leave(decision.found, packet, undefined);
  }

  #intoNode(input: string, packet: ProbePacket): Exit {
    const context = { packet, inputDevice: this.#device(input) };
    this.#record.hook("input", passHook(this.#view.kernel.ruleset, "input", context));
    const owner = this.#view.pods.find((pod) => pod.addresses.includes(packet.destination));
    if (owner !== undefined) {
      return this.#record.stop(
        "routing",
        `the node has ${packet.destination} itself, the address of pod ${podId(owner)}`,
        "take the address off the node's device",
      );
    }
    this.#record.pass("node", `${packet.destination} is the node's own address`);
    return { to: "node" };
  }

  #leave(route: Route, packet: ProbePacket, input: string | undefined): Exit {
    const { kernel } = this.#view;
    const device = linkOf(kernel, route.device ?? route.hops?.[0]?.device);
    if (device === undefined)
      return this.#record.stop("routing", `the route ${route.destination} leads to no device`, "mend this route");
    const [inputDevice, outputDevice] = [
      input === undefined ? {} : { inputDevice: this.#device(input) },
      this.#device(device.name),
    ];
    const context = { packet, ...inputDevice, outputDevice };
    this.#checkSize("routing", device.name, route, route.mtu ?? device.mtu);
    const hook: NftHook = input === undefined ? "output" : "forward";
    this.#record.hook(hook, passHook(kernel.ruleset, hook, context));
    const behind = this.#record.hook("postrouting", passHook(kernel.ruleset, "postrouting", context));
    this.#record.hook(device.name, passDevice(kernel.ruleset, "egress", device.name, context));
    const pod = this.#view.pods.find(({ addresses }) => addresses.includes(packet.destination));
    const onPod =
      pod !== undefined &&
      (pod.hostDevice === device.name || linkNamed(kernel, pod.hostDevice ?? "")?.master === device.index);
    if (onPod) return this.#deliver(podId(pod), pod.hostDevice ?? device.name);
    const nextHop = route.gateway ?? route.hops?.[0]?.gateway ?? packet.destination;
    const translated = behind.translates === undefined ? {} : { masqueraded: behind.translates.by };
    if (behind.translates !== undefined)
      this.#record.note("postrouting", `the source becomes the node's (${behind.translates.by})`);
    if (device.kind.type === "vxlan") return this.#encapsulate(device, nextHop, packet);
    this.#checkNeighbour(kernel, device.name, device.index, nextHop, "unsure");
    this.#wire(device, `to ${nextHop}`);
    return { to: "wire", nextHop, packet, ...translated };
  }

  // The tunnel

  #encapsulate(device: Link, nextHop: Address, packet: ProbePacket): Exit {
    const { kernel } = this.#view;
    if (device.kind.type !== "vxlan") return { to: "nowhere" };
    if (!device.up) return this.#record.stop(device.name, "the tunnel device is down", startAgent);
    const neighbour = kernel.neighbours.find((entry) => entry.device === device.index && entry.address === nextHop);
    if (neighbour?.mac === undefined)
      return this.#record.stop(device.name, `no neighbour entry for ${nextHop}`, startAgent);
    const entry = kernel.fdb.find(
      (one) => one.device === device.index && one.mac === neighbour.mac && one.remote !== undefined,
    );
    if (entry?.remote === undefined)
      return this.#record.stop(
        device.name,
        `no forwarding entry (FDB) for ${neighbour.mac}, the tunnel end of ${nextHop}`,
        startAgent,
      );
    const remote = entry.remote;
    this.#record.pass(device.name, `${nextHop} is ${neighbour.mac}, behind ${remote}; VNI ${device.kind.vni}`, {
      device: device.name,
      outgoing: true,
    });
    const local = device.kind.local;
    const source = local ?? remote;
    const outer = outerPacket(source, remote, device.kind.port, packet.size + vxlanOverhead(remote));
    const decision = lookupRoute(kernel, { destination: remote, ...(local === undefined ? {} : { source: local }) });
    if (decision.found === undefined)
      return this.#record.stop("underlay", decision.reason, "mend the node's route to the other nodes");
    const route = decision.found;
    const out = linkOf(kernel, route.device);
    if (out === undefined || route.type !== "unicast")
      return this.#record.stop(
        "underlay",
        `${describeRoute(kernel, route)} leads to no other node`,
        "mend the node's route to the other nodes",
      );
    if (outer.size > out.mtu) {
      return this.#record.stop(
        "underlay",
        `${outer.size} bytes with the tunnel's headers do not fit ${out.name} (MTU ${out.mtu})`,
        `a smaller MTU of the pods, or a larger one of ${out.name}`,
      );
    }
    const context = { packet: outer, outputDevice: this.#device(out.name) };
    this.#record.hook("output", passHook(kernel.ruleset, "output", context));
    this.#record.hook("postrouting", passHook(kernel.ruleset, "postrouting", context));
    this.#record.hook(out.name, passDevice(kernel.ruleset, "egress", out.name, context));
    const gateway = route.gateway ?? remote;
    this.#checkNeighbour(kernel, out.name, out.index, gateway, "unsure");
    this.#wire(
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

  /** @returns the device by which the packet itself appears on this node. */
  #receive(encapsulation: Encapsulation | undefined): string {
    const { kernel, underlay } = this.#view;
    const own =
      encapsulation === undefined
        ? undefined
        : kernel.addresses.find(({ address }) => address === encapsulation.remote);
    const device = linkOf(kernel, own?.device)?.name ?? underlay;
    if (device === undefined) return this.#record.stop("underlay", "the node knows no underlay device", "twill status");
    const link = linkNamed(kernel, device);
    if (link?.up !== true || !link.carrier)
      return this.#record.stop(
        device,
        link?.up === true ? "no carrier: the cable or the switch" : "the device is down",
        `ip link set ${device} up; look at the cable`,
      );
    this.#record.pass(device, encapsulation === undefined ? "comes in" : `UDP ${encapsulation.port} comes in`, {
      device,
      outgoing: false,
    });
    if (encapsulation === undefined) return device;
    if (own === undefined)
      return this.#record.stop(
        device,
        `the node has not the address ${encapsulation.remote}`,
        "the node's lease names another underlay address than it has: restart its agent",
      );
    return this.#decapsulate(device, encapsulation);
  }

  #decapsulate(device: string, encapsulation: Encapsulation): string {
    const { kernel } = this.#view;
    const outer = outerPacket(
      encapsulation.local,
      encapsulation.remote,
      encapsulation.port,
      this.#packet.size + vxlanOverhead(encapsulation.remote),
    );
    const context = { packet: outer, inputDevice: this.#device(device) };
    this.#record.hook(device, passDevice(kernel.ruleset, "ingress", device, context));
    this.#record.hook("prerouting", passHook(kernel.ruleset, "prerouting", context));
    if (failsReversePath(kernel, outer.source, device)) {
      const back = lookupRoute(kernel, { destination: outer.source }).found;
      return this.#record.stop(
        device,
        `rp_filter of ${device} drops packets from ${outer.source}: the way back is ${back === undefined ? "none" : describeRoute(kernel, back)}`,
        `sysctl -w net.ipv4.conf.${device}.rp_filter=2, or mend the route`,
      );
    }
    this.#record.hook("input", passHook(kernel.ruleset, "input", context));
    const tunnel = kernel.links.find(
      // Both families' devices may have one VNI and port.
      ({ kind }) =>
        kind.type === "vxlan" &&
        kind.vni === encapsulation.vni &&
        kind.port === encapsulation.port &&
        familyOf(kind.local ?? encapsulation.remote) === familyOf(encapsulation.remote),
    );
    if (tunnel === undefined)
      return this.#record.stop(
        "tunnel",
        `no VXLAN device of VNI ${encapsulation.vni} on UDP port ${encapsulation.port}`,
        startAgent,
      );
    if (!tunnel.up) return this.#record.stop(tunnel.name, "the tunnel device is down", startAgent);
    if (tunnel.mac !== encapsulation.destinationMac) {
      return this.#record.stop(
        tunnel.name,
        `it has the address ${tunnel.mac}, and the sender writes to ${encapsulation.destinationMac}`,
        startAgent,
      );
    }
    this.#record.pass(tunnel.name, "the packet comes out of the tunnel", { device: tunnel.name, outgoing: false });
    return tunnel.name;
  }

  // What every hop needs

  #wire(device: Link, text: string): void {
    if (!device.up) this.#record.stop(device.name, "the device is down", `ip link set ${device.name} up`);
    if (!device.carrier) this.#record.stop(device.name, "no carrier: the cable or the switch", "look at the cable");
    this.#record.pass(device.name, text, { device: device.name, outgoing: true });
  }

  #checkSize(place: string, device: string, route: Route, mtu: number | undefined): void {
    const limit = Math.min(route.mtu ?? Number.POSITIVE_INFINITY, mtu ?? Number.POSITIVE_INFINITY);
    if (this.#packet.size > limit)
      this.#record.stop(
        place,
        `${this.#packet.size} bytes do not fit ${device} (MTU ${limit})`,
        "send smaller packets: this is an error that the sender is told",
      );
  }

  /** @param absent what a missing entry means: the kernel may yet ask the segment for it. */
  #checkNeighbour(
    kernel: KernelView,
    place: string,
    device: number | undefined,
    address: Address,
    absent: Hop["verdict"],
  ): void {
    const entry = kernel.neighbours.find((one) => one.device === device && one.address === address);
    if (entry?.state === "failed" || entry?.state === "incomplete") {
      this.#record.add({
        place,
        text: `${address} did not answer when its Ethernet address was asked for (ARP or ND)`,
        verdict: absent,
      });
    }
  }

  #device(name: string): { readonly name: string; readonly index: number } {
    return { name, index: linkNamed(this.#view.kernel, name)?.index ?? 0 };
  }
}

const remakePod = "delete the pod: its controller makes a new one";
const startAgent = "look at twill status of this node: a running agent puts it right";

/** The kernel asks the device's own setting; the global one sets all of them when it is written (inet_forward_change). */
function forwards(kernel: KernelView, family: 4 | 6, input: string): boolean {
  if (family === 6) return kernel.settings.get("ipv6/conf/all/forwarding") !== "0";
  return kernel.settings.get(`ipv4/conf/${input}/forwarding`) !== "0";
}

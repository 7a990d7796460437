import { familyOf } from "../base/address.ts";
import type { Link } from "../objects/link.ts";
import type { NftHook } from "../objects/nft.ts";
import type { Route } from "../objects/route.ts";
import { fibAnswer } from "./fib-answer.ts";
import { checkNeighbour, checkSize, deviceOf, leaveBy, type WalkState } from "./hop-checks.ts";
import { HopRecord, Stopped } from "./hop-record.ts";
import { type KernelView, linkNamed, linkOf, nameOf } from "./kernel-view.ts";
import type { Entry, Exit, Leg } from "./leg.ts";
import { type NodeView, type PodView, podId } from "./node-view.ts";
import type { ProbePacket } from "./probe-packet.ts";
import { describeRoute, failsReversePath, lookupRoute } from "./route-lookup.ts";
import type { RuleContext } from "./rule-match.ts";
import { passDevice, passHook } from "./ruleset.ts";
import { encapsulate, receive } from "./walk-tunnel.ts";

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
  readonly #state: WalkState;

  constructor(view: NodeView, packet: ProbePacket) {
    this.#view = view;
    this.#packet = packet;
    this.#record = new HopRecord(view.node);
    this.#state = { view, packet, record: this.#record };
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
        return this.#forward(receive(this.#state, entry.encapsulation), this.#packet);
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
    checkSize(this.#state, place, nameOf(kernel, route.device), route, linkOf(kernel, route.device)?.mtu);
    const nextHop = route.gateway ?? this.#packet.destination;
    checkNeighbour(this.#state, kernel, place, route.device, nextHop);
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
    const context = this.#comingBy(input, packet);
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

  #comingBy(input: string, packet: ProbePacket): RuleContext {
    const inputDevice = deviceOf(this.#view.kernel, input);
    return { packet, inputDevice, fib: (question) => fibAnswer(this.#view.kernel, packet, inputDevice, question) };
  }

  #intoNode(input: string, packet: ProbePacket): Exit {
    const context = this.#comingBy(input, packet);
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
    const outputDevice = deviceOf(kernel, device.name);
    const context = { ...(input === undefined ? { packet } : this.#comingBy(input, packet)), outputDevice };
    checkSize(this.#state, "routing", device.name, route, route.mtu ?? device.mtu);
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
    if (device.kind.type === "vxlan") return encapsulate(this.#state, device, nextHop, packet);
    checkNeighbour(this.#state, kernel, device.name, device.index, nextHop);
    leaveBy(this.#state, device, `to ${nextHop}`);
    return { to: "wire", nextHop, packet, ...translated };
  }
}

const remakePod = "delete the pod: its controller makes a new one";

/** The kernel asks the device's own setting; the global one sets all of them when it is written (inet_forward_change). */
function forwards(kernel: KernelView, family: 4 | 6, input: string): boolean {
  if (family === 6) return kernel.settings.get("ipv6/conf/all/forwarding") !== "0";
  return kernel.settings.get(`ipv4/conf/${input}/forwarding`) !== "0";
}

import { familyOf } from "../../base/address.ts";
import { describeError, isCode, TwillError } from "../../base/errors.ts";
import { hostPrefix } from "../../base/prefix.ts";
import type { Link } from "../../objects/link.ts";
import { mainTable, TWILL_POD_ROUTE_PROTOCOL } from "../../objects/route.ts";
import type { AttachKernel, Namespace } from "../attach-kernel.ts";
import type {
  Attached,
  AttachedPod,
  Attachment,
  AttachmentKey,
  AttachPlan,
  AttachRequest,
  PodMtu,
  Repair,
} from "../attachment.ts";
import { establish, failing, readDevice, readDevices } from "../device-facts.ts";
import { hostDeviceName, strayDevices } from "../host-device.ts";
import { checkPod, configurePod, type PodInterface } from "../pod-interface.ts";
import { setVethMtu } from "../pod-mtu.ts";
import { resolveRoutes } from "../pod-routes.ts";
import { attachedLink, deleteHostDevice, withVethPair } from "../veth-pair.ts";
import { podGateway4Prefix, routedGateways } from "./gateways.ts";
import { hostDeviceFacts, podRouteFacts, routedHostFacts } from "./host-facts.ts";

/**
 * A veth and a route per pod, no bridge: every packet, also between pods of one node, passes the node's routing and with it
 * its policy. The pod has host-length addresses and sends everything to 169.254.1.1 or fe80::1, whose Ethernet address it
 * knows beforehand; the node has a route to each pod address over the pod's veth (protocol TWILL_POD_ROUTE_PROTOCOL).
 */
export class RoutedAttachment implements Attachment {
  readonly type = "routed";
  readonly #kernel: AttachKernel;

  constructor(kernel: AttachKernel) {
    this.#kernel = kernel;
  }

  attach(request: AttachRequest): Attached {
    const { node } = this.#kernel;
    return this.#kernel.inPod(request.netns, (pod) =>
      withVethPair(this.#kernel, request, pod, {}, (pair) => {
        establish(node, hostDeviceFacts(pair.host, request.addresses, request.mtu));
        const attached: Attached = {
          host: attachedLink(pair.host),
          pod: attachedLink(pair.pod),
          routes: resolveRoutes(pod, pair.pod, request, routedGateways(request.addresses)),
          gateways: routedGateways(request.addresses),
        };
        configurePod(pod, pair.pod, podInterface(request, attached));
        awaitQueue(node, pair.host);
        // Last: a packet whose ARP request is not answered or not even sent makes all after it wait for the next try, a second.
        routeToPod(node, pair.host, request);
        return attached;
      }),
    );
  }

  detach(key: AttachmentKey): void {
    deleteHostDevice(this.#kernel, hostDeviceName(key));
  }

  check(request: AttachRequest, attached: Attached): string[] {
    const { node } = this.#kernel;
    const name = hostDeviceName(request.key);
    const link = node.rtnl.link(name);
    const host =
      link === undefined
        ? [`the node has no device ${name}`]
        : failing(
            routedHostFacts(link, request.addresses, attached.host?.mtu ?? attached.pod.mtu),
            readDevice(node, link, TWILL_POD_ROUTE_PROTOCOL),
          ).map(({ complaint }) => complaint);
    return [...host, ...this.#kernel.inPod(request.netns, (pod) => checkPod(pod, podInterface(request, attached)))];
  }

  repair(pods: readonly AttachedPod[]): Repair {
    const { node } = this.#kernel;
    const devices = readDevices(node, TWILL_POD_ROUTE_PROTOCOL);
    const mended: string[] = [];
    const broken: { key: AttachmentKey; reason: string }[] = [];
    for (const { plan } of pods) {
      const name = hostDeviceName(plan.key);
      const state = devices.get(name);
      if (state === undefined) {
        broken.push({ key: plan.key, reason: `the node's device ${name} is gone` });
        continue;
      }
      const facts = failing(routedHostFacts(state.link, plan.addresses, plan.mtu), state);
      try {
        establish(node, facts);
        mended.push(...facts.map(({ complaint }) => complaint));
      } catch (error) {
        broken.push({ key: plan.key, reason: describeError(error) });
      }
    }
    return { mended, broken };
  }

  setMtu(key: AttachmentKey, netns: number | undefined, mtu: PodMtu): void {
    setVethMtu(this.#kernel, key, netns, mtu);
  }

  strays(known: readonly AttachmentKey[]): string[] {
    return strayDevices(this.#kernel.node.rtnl.links(), known);
  }

  remove(stray: string): void {
    deleteHostDevice(this.#kernel, stray);
  }
}

/**
 * What is sent on a device whose peer has just come up is dropped until the kernel's work queue gets to start its queue
 * (net/core/link_watch.c). From Linux 6.8 on, whoever reads the link has that done first; before, it is a matter of luck.
 */
function awaitQueue(node: Namespace, host: Link): void {
  node.rtnl.link(host.index);
}

/** @throws TwillError `exists` when an address leads to another pod: two networks of this node that give out the same. */
function routeToPod(node: Namespace, host: Link, { addresses }: AttachPlan): void {
  try {
    establish(node, podRouteFacts(host, addresses));
  } catch (error) {
    if (!isCode(error, "exists")) throw error;
    const own = new Set<string>(addresses.map(({ address }) => hostPrefix(address)));
    const taken = node.rtnl
      .routes({ table: mainTable })
      .find(({ destination, device }) => own.has(destination) && device !== host.index);
    if (taken === undefined) throw error;
    const holder = taken.device === undefined ? undefined : node.rtnl.link(taken.device)?.name;
    throw new TwillError("exists", `the node's route to ${taken.destination} leads to ${holder ?? "another device"}`, {
      operation: "attach",
      object: host.name,
      remedy: "give each network of the node other addresses (ipam), or use the attachment bridge or macvlan for one",
      cause: error,
    });
  }
}

function podInterface(plan: AttachPlan, attached: Attached): PodInterface {
  const families = new Set(plan.addresses.map(({ address }) => familyOf(address)));
  const hostMac = attached.host?.mac;
  return {
    ifname: plan.key.ifname,
    addresses: plan.addresses,
    mac: attached.pod.mac,
    mtu: attached.pod.mtu,
    neighbours: hostMac === undefined ? [] : attached.gateways.map((address) => ({ address, mac: hostMac })),
    routes: [...(families.has(4) ? [{ destination: podGateway4Prefix }] : []), ...attached.routes],
    announce: false,
  };
}

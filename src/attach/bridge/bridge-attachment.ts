import { describeError } from "../../base/errors.ts";
import type { InterfaceAddress } from "../../base/prefix.ts";
import type { Link } from "../../objects/link.ts";
import { TWILL_POD_ROUTE_PROTOCOL } from "../../objects/route.ts";
import type { AttachKernel } from "../attach-kernel.ts";
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
import { establish, type Fact, failing, hasMtu, isUp, readDevice, readDevices } from "../device-facts.ts";
import { hostDeviceName, strayDevices, twillAlias } from "../host-device.ts";
import { checkPod, configurePod, type PodInterface } from "../pod-interface.ts";
import { setVethMtu } from "../pod-mtu.ts";
import { resolveRoutes } from "../pod-routes.ts";
import { attachedLink, deleteHostDevice, setLinkMtu, withVethPair } from "../veth-pair.ts";
import { bridgeAddresses, ensureBridge, removeOtherGateways } from "./bridge-device.ts";

export interface BridgeOptions {
  /** "cni0", as Flannel's. */
  readonly name: string;
  /** A pod's packet may return through the port that it came from: a pod reaches itself through a Service. */
  readonly hairpin: boolean;
}

/**
 * Pods on a common bridge, as with Flannel: subnet-length addresses, the node's gateway address on the bridge. Packets
 * between pods of one node do not pass the node's routing.
 */
export class BridgeAttachment implements Attachment {
  readonly type = "bridge";
  readonly #kernel: AttachKernel;
  readonly #options: BridgeOptions;

  constructor(kernel: AttachKernel, options: BridgeOptions) {
    this.#kernel = kernel;
    this.#options = options;
  }

  attach(request: AttachRequest): Attached {
    const { node } = this.#kernel;
    const { mtu } = request;
    const bridge = ensureBridge(node, { name: this.#options.name, gateways: bridgeAddresses(request), mtu }).link;
    return this.#kernel.inPod(request.netns, (pod) =>
      withVethPair(this.#kernel, request, pod, { master: bridge.index }, (pair) => {
        establish(node, this.#portFacts(pair.host, bridge.index, mtu));
        const attached: Attached = {
          host: attachedLink(pair.host),
          pod: attachedLink(pair.pod),
          routes: resolveRoutes(pod, pair.pod, request, request.gateways),
          gateways: request.gateways,
        };
        configurePod(pod, pair.pod, podInterface(request, attached));
        return attached;
      }),
    );
  }

  detach(key: AttachmentKey): void {
    deleteHostDevice(this.#kernel, hostDeviceName(key));
  }

  check(request: AttachRequest, attached: Attached): string[] {
    return [
      ...this.#checkHost(request, attached.host?.mtu ?? attached.pod.mtu),
      ...this.#kernel.inPod(request.netns, (pod) => checkPod(pod, podInterface(request, attached))),
    ];
  }

  #checkHost(plan: AttachPlan, mtu: number): string[] {
    const { node } = this.#kernel;
    const bridge = node.rtnl.link(this.#options.name);
    if (bridge === undefined) return [`the node has no bridge ${this.#options.name}`];
    const name = hostDeviceName(plan.key);
    const link = node.rtnl.link(name);
    if (link === undefined) return [`the node has no device ${name}`];
    const addresses = node.rtnl.addresses({ device: bridge.index });
    return [
      ...(bridge.up ? [] : [`${bridge.name} is down`]),
      ...bridgeAddresses(plan)
        .filter((gateway) => !addresses.some(({ address }) => address === gateway.address))
        .map(({ address }) => `${bridge.name} lacks the gateway address ${address}`),
      ...failing(this.#portFacts(link, bridge.index, mtu), readDevice(node, link, TWILL_POD_ROUTE_PROTOCOL)).map(
        ({ complaint }) => complaint,
      ),
    ];
  }

  repair(pods: readonly AttachedPod[]): Repair {
    const { node } = this.#kernel;
    const [first] = pods;
    if (first === undefined) return { mended: this.#removeUnusedBridge(), broken: [] };
    const gateways = distinct(pods.flatMap(({ plan }) => bridgeAddresses(plan)));
    const wanted = { name: this.#options.name, gateways, mtu: first.plan.mtu };
    const { link: bridge, mended } = ensureBridge(node, wanted);
    const devices = readDevices(node, TWILL_POD_ROUTE_PROTOCOL);
    // Only where these are all the pods of the bridge: another network's have their gateways on it too.
    const own = new Set(pods.map(({ plan }) => hostDeviceName(plan.key)));
    const ports = [...devices.values()].filter(({ link }) => link.master === bridge.index);
    if (ports.every(({ link }) => own.has(link.name))) mended.push(...removeOtherGateways(node, bridge, gateways));
    const broken: { key: AttachmentKey; reason: string }[] = [];
    for (const { plan } of pods) {
      const name = hostDeviceName(plan.key);
      const state = devices.get(name);
      if (state === undefined) {
        broken.push({ key: plan.key, reason: `the node's device ${name} is gone` });
        continue;
      }
      const facts = failing(this.#portFacts(state.link, bridge.index, plan.mtu), state);
      try {
        establish(node, facts);
        mended.push(...facts.map(({ complaint }) => complaint));
      } catch (error) {
        broken.push({ key: plan.key, reason: describeError(error) });
      }
    }
    return { mended, broken };
  }

  /** A bridge without pods would only keep the route of a subnet that may belong to another node by now. */
  #removeUnusedBridge(): string[] {
    const links = this.#kernel.node.rtnl.links();
    const bridge = links.find(({ name }) => name === this.#options.name);
    if (bridge?.alias !== twillAlias || bridge.kind.type !== "bridge") return [];
    if (links.some(({ master }) => master === bridge.index)) return [];
    this.#kernel.deleteLink(bridge.index);
    return [`the bridge ${bridge.name} had no pods any more`];
  }

  setMtu(key: AttachmentKey, netns: number | undefined, mtu: PodMtu): void {
    setLinkMtu(this.#kernel.node, this.#options.name, mtu.device);
    setVethMtu(this.#kernel, key, netns, mtu);
  }

  strays(known: readonly AttachmentKey[]): string[] {
    return strayDevices(this.#kernel.node.rtnl.links(), known);
  }

  remove(stray: string): void {
    deleteHostDevice(this.#kernel, stray);
  }

  #portFacts(link: Link, bridge: number, mtu: number): Fact[] {
    const { name, hairpin } = this.#options;
    return [
      {
        complaint: `${link.name} is not on the bridge ${name}`,
        holds: (state) => state.link.master === bridge,
        remedy: { operation: { op: "link.set", index: link.index, change: { master: bridge } } },
      },
      {
        complaint: `hairpin of ${link.name} is not ${hairpin ? "on" : "off"}`,
        holds: (state) => (state.link.hairpin ?? false) === hairpin,
        remedy: { operation: { op: "link.set", index: link.index, change: { hairpin } } },
      },
      hasMtu(link, mtu),
      isUp(link),
    ];
  }
}

const distinct = (gateways: readonly InterfaceAddress[]): InterfaceAddress[] => [
  ...new Map(gateways.map((gateway) => [gateway.address, gateway])).values(),
];

const podInterface = (plan: AttachPlan, attached: Attached): PodInterface => ({
  ifname: plan.key.ifname,
  addresses: plan.addresses,
  mac: attached.pod.mac,
  mtu: attached.pod.mtu,
  neighbours: [],
  routes: attached.routes,
  announce: true,
});

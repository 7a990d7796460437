import { type AttachKernel, openAttachKernel } from "../../../src/attach/attach-kernel.ts";
import { RoutedAttachment } from "../../../src/attach/routed/routed-attachment.ts";
import { type Address, type Family, familyOf } from "../../../src/base/address.ts";
import { everything, parseInterfaceAddress } from "../../../src/base/prefix.ts";
import type { Conntrack } from "../../../src/kernel/conntrack.ts";
import { openConntrack } from "../../../src/kernel/conntrack-socket.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import { openNft } from "../../../src/kernel/nft-socket.ts";
import { kernelSysctls } from "../../../src/kernel/sysctl.ts";
import { TestNetns, vethPair } from "../../support/netns.ts";
import * as plan from "./plan.ts";

/**
 * Nodes, pods and the outside as network namespaces of this process, joined by routes, without agents, datastore or tunnels: for
 * policy that a test compiles and loads itself. Pods hang on their nodes as the product attaches them. Addresses: plan.ts.
 */
export class BareCluster {
  readonly nodes: readonly BareNode[];
  /** Whatever is neither node nor pod: it has every address that is left. */
  readonly outside = new TestNetns();

  constructor(podsEach: number) {
    const { outside } = this;
    settle(outside);
    // IPv4 binds to whatever a route calls local, IPv6 to what a device has.
    kernelSysctls(outside.fd).write(["ipv6", "ip_nonlocal_bind"], "1");
    // An Ethernet of the nodes and the outside; a bridge in the outside's namespace.
    ip(outside, 4, "link add fabric type bridge");
    for (const family of [4, 6] as const) addAddress(outside, plan.outsideGateway[family], "fabric");
    outside.up("fabric");
    this.nodes = plan.nodeNumbers.map((number) => new BareNode(number, podsEach, outside));
    for (const node of this.nodes) node.join(this.nodes);
    for (const half of ["0.0.0.0/1", "128.0.0.0/1"]) ip(outside, 4, `route add local ${half} dev lo table main`);
    for (const half of ["::/1", "8000::/1"]) ip(outside, 6, `route add local ${half} dev lo table main`);
  }

  /** The namespace that has the address. */
  owner(address: Address): TestNetns {
    for (const node of this.nodes) {
      if (node.addresses.includes(address)) return node.netns;
      const pod = node.pods.find(({ addresses }) => addresses.includes(address));
      if (pod !== undefined) return pod.netns;
    }
    return this.outside;
  }

  /** Forgets every connection, so that the next packet is a first one. */
  forgetConnections(): void {
    for (const { conntrack } of this.nodes) conntrack.deleteWhere(() => true);
  }

  close(): void {
    for (const node of this.nodes) node.close();
    this.outside.close();
  }
}

export interface BarePod {
  readonly netns: TestNetns;
  readonly addresses: readonly Address[];
}

export class BareNode {
  readonly name: string;
  readonly number: number;
  readonly netns = new TestNetns();
  readonly nft: Nft;
  readonly conntrack: Conntrack;
  /** Its own: of the underlay, outside, of the tunnel device. */
  readonly addresses: readonly Address[];
  readonly pods: readonly BarePod[];
  readonly #kernel: AttachKernel;

  constructor(number: number, pods: number, outside: TestNetns) {
    this.number = number;
    this.name = plan.nodeName(number);
    const { netns } = this;
    settle(netns);
    vethPair({ netns: outside, name: `node${number}` }, { netns, name: "eth0" });
    ip(outside, 4, `link set node${number} master fabric`);
    this.addresses = plan.nodeAddresses(number);
    for (const address of plan.underlay(number)) addAddress(netns, address, "eth0");
    for (const address of plan.furtherAddresses(number)) addAddress(netns, address, "lo");
    for (const family of [4, 6] as const) ip(netns, family, `route add default via ${plan.outsideGateway[family]}`);
    addRoutesTo(outside, number);
    this.#kernel = openAttachKernel(netns.fd);
    const attachment = new RoutedAttachment(this.#kernel);
    this.pods = Array.from({ length: pods }, (_, index) => attachPod(attachment, number, plan.firstHost + index));
    this.nft = openNft({ netns: netns.fd });
    this.conntrack = openConntrack({ netns: netns.fd });
  }

  join(nodes: readonly BareNode[]): void {
    for (const { number } of nodes) if (number !== this.number) addRoutesTo(this.netns, number);
  }

  close(): void {
    this.nft.close();
    this.conntrack.close();
    this.#kernel.close();
    for (const { netns } of this.pods) netns.close();
    this.netns.close();
  }
}

/** To a node's pods, and to those of its addresses that are not the underlay's. */
function addRoutesTo(netns: TestNetns, node: number): void {
  for (const family of [4, 6] as const) {
    const further = plan.furtherAddresses(node).filter((address) => familyOf(address) === family);
    for (const destination of [plan.podNetwork(node)[family], ...further]) {
      ip(netns, family, `route replace ${destination} via ${plan.underlayOf(node, family)}`);
    }
  }
}

/** On `lo` for itself, elsewhere with its network. */
function addAddress(netns: TestNetns, address: Address, device: string): void {
  const family = familyOf(address);
  const length = device === "lo" ? { 4: 32, 6: 128 }[family] : { 4: 24, 6: 64 }[family];
  ip(netns, family, `address add ${address}/${length} dev ${device}${family === 6 ? " nodad" : ""}`);
}

const ip = (netns: TestNetns, family: Family, words: string): string =>
  netns.run("ip", `-${family}`, ...words.split(" "));

function attachPod(attachment: RoutedAttachment, node: number, host: number): BarePod {
  const netns = new TestNetns();
  const addresses = plan.podAddresses(node, host);
  attachment.attach({
    key: { network: "bare", containerId: `pod-${node}-${host}`, ifname: "eth0" },
    netns: netns.fd,
    addresses: addresses.map((address) => parseInterfaceAddress(`${address}/${address.includes(":") ? 128 : 32}`)),
    gateways: [],
    routes: ([4, 6] as const).map((family) => ({ destination: everything(family) })),
    mtu: 1500,
  });
  return { netns, addresses };
}

/** Forwards, and asks of no packet which way it came. */
function settle(netns: TestNetns): void {
  const sysctls = kernelSysctls(netns.fd);
  sysctls.write(["ipv4", "ip_forward"], "1");
  sysctls.write(["ipv6", "conf", "all", "forwarding"], "1");
  for (const which of ["all", "default"]) sysctls.write(["ipv4", "conf", which, "rp_filter"], "0");
}

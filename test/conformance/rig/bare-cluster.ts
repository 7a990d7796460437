import { type AttachKernel, openAttachKernel } from "../../../src/attach/attach-kernel.ts";
import { RoutedAttachment } from "../../../src/attach/routed/routed-attachment.ts";
import type { Address } from "../../../src/base/address.ts";
import { everything, parseInterfaceAddress } from "../../../src/base/prefix.ts";
import type { Conntrack } from "../../../src/kernel/conntrack.ts";
import { openConntrack } from "../../../src/kernel/conntrack-socket.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import { openNft } from "../../../src/kernel/nft-socket.ts";
import { kernelSysctls } from "../../../src/kernel/sysctl.ts";
import { TestNetns, vethPair } from "../../support/netns.ts";
import * as plan from "./plan.ts";
import { nodeNumbers } from "./plan.ts";

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
    // An Ethernet of the nodes and the outside; a bridge in the outside's namespace.
    outside.run("ip", "link", "add", "fabric", "type", "bridge");
    outside.run("ip", "address", "add", `${plan.outsideGateway[4]}/24`, "dev", "fabric");
    outside.run("ip", "-6", "address", "add", `${plan.outsideGateway[6]}/64`, "dev", "fabric", "nodad");
    outside.up("fabric");
    this.nodes = nodeNumbers.map((number) => new BareNode(number, podsEach, outside));
    for (const node of this.nodes) node.join(this.nodes);
    for (const half of ["0.0.0.0/1", "128.0.0.0/1"])
      outside.run("ip", "route", "add", "local", half, "dev", "lo", "table", "main");
    for (const half of ["::/1", "8000::/1"])
      outside.run("ip", "-6", "route", "add", "local", half, "dev", "lo", "table", "main");
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
    outside.run("ip", "link", "set", `node${number}`, "master", "fabric");
    this.addresses = plan.nodeAddresses(number);
    for (const address of this.addresses) {
      // The underlay's with its network; the others on their own.
      const length = plan.underlay(number).includes(address)
        ? address.includes(":")
          ? 64
          : 24
        : address.includes(":")
          ? 128
          : 32;
      netns.run(
        "ip",
        "address",
        "add",
        `${address}/${length}`,
        "dev",
        length === 64 || length === 24 ? "eth0" : "lo",
        ...(address.includes(":") ? ["nodad"] : []),
      );
    }
    for (const family of [4, 6] as const) {
      netns.run("ip", `-${family}`, "route", "add", "default", "via", plan.outsideGateway[family]);
      outside.run(
        "ip",
        `-${family}`,
        "route",
        "add",
        plan.podNetwork(number)[family],
        "via",
        plan.underlayOf(number, family),
      );
      for (const address of plan.furtherAddresses(number)) {
        if (address.includes(":") === (family === 6))
          outside.run("ip", `-${family}`, "route", "replace", address, "via", plan.underlayOf(number, family));
      }
    }
    this.#kernel = openAttachKernel(netns.fd);
    const attachment = new RoutedAttachment(this.#kernel);
    this.pods = Array.from({ length: pods }, (_, index) => attachPod(attachment, number, plan.firstHost + index));
    this.nft = openNft({ netns: netns.fd });
    this.conntrack = openConntrack({ netns: netns.fd });
  }

  /** Routes to the pods and further addresses of the others. */
  join(nodes: readonly BareNode[]): void {
    for (const { number } of nodes) {
      if (number === this.number) continue;
      for (const family of [4, 6] as const) {
        const via = plan.underlayOf(number, family);
        this.netns.run("ip", `-${family}`, "route", "add", plan.podNetwork(number)[family], "via", via);
        for (const address of plan.furtherAddresses(number)) {
          if (address.includes(":") === (family === 6))
            this.netns.run("ip", `-${family}`, "route", "replace", address, "via", via);
        }
      }
    }
  }

  close(): void {
    this.nft.close();
    this.conntrack.close();
    this.#kernel.close();
    for (const { netns } of this.pods) netns.close();
    this.netns.close();
  }
}

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

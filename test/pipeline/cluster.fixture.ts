import { setDefaultTimeout } from "bun:test";
import { type ApplyReport, Reconciler } from "../../src/apply/reconciler.ts";
import { backendOf } from "../../src/backend/registry.ts";
import { parseAddress } from "../../src/base/address.ts";
import { FakeClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { type Mac, parseMac } from "../../src/base/mac.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { compile } from "../../src/compile/compile.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { BackendConfig, ClusterNetwork, Lease, NetworkRange } from "../../src/model/network.ts";
import type { LocalNode } from "../../src/model/node.ts";
import type { NodeState } from "../../src/model/node-state.ts";
import { render } from "../../src/render/render.ts";
import { type TestNetns, testNetns, vethPair } from "../support/netns.ts";
import { EventTap } from "../support/rtnl-events.ts";

setDefaultTimeout(60_000);

/** Which families the pods have. */
export type Families = "v4" | "v6" | "dual";

/** Nodes 1 and 2 on one wire, node 3 on another, a router between; a pod on each; all by the product's own pipeline. */
export interface TestCluster {
  readonly nodes: readonly TestNode[];
  /** Every node compiles, renders and applies what all of them advertise. */
  settle(): readonly ApplyReport[];
  /** Another configuration for all. */
  configure(config: BackendConfig): void;
}

export interface TestNode {
  readonly number: number;
  readonly netns: TestNetns;
  readonly pod: TestNetns;
  readonly tap: EventTap;
  reconciler: Reconciler;
  state: NodeState | undefined;
}

const range = (network: string, subnetLength: number, first: string, last: string): NetworkRange => ({
  network: parsePrefix(network),
  subnetLength,
  subnetMin: parsePrefix(first),
  subnetMax: parsePrefix(last),
});

function networkOf(config: BackendConfig, families: Families): ClusterNetwork {
  return {
    backend: config,
    enableNFTables: true,
    ...(families === "v6" ? {} : { ipv4: range("10.244.0.0/16", 24, "10.244.0.0/24", "10.244.255.0/24") }),
    ...(families === "v4" ? {} : { ipv6: range("fd00:244::/48", 64, "fd00:244::/64", "fd00:244:0:ffff::/64") }),
  };
}

const wireOf = (number: number): number => (number < 3 ? 1 : 2);
export const podAddress = (number: number, family: 4 | 6): string =>
  family === 4 ? `10.244.${number}.10` : `fd00:244:0:${number}::10`;

/** A switch a wire, and forwarding between them. */
function router(): TestNetns {
  const netns = testNetns();
  for (const wire of [1, 2]) {
    netns.run("ip", "link", "add", `wire${wire}`, "type", "bridge");
    netns.run("ip", "address", "add", `192.168.${wire}.254/24`, "dev", `wire${wire}`);
    netns.run("ip", "address", "add", `fd01:0:0:${wire}::254/64`, "dev", `wire${wire}`, "nodad");
    netns.run("ip", "link", "set", `wire${wire}`, "up");
  }
  netns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  return netns;
}

function addNode(number: number, middle: TestNetns): TestNode {
  const [netns, pod] = [testNetns(), testNetns()];
  const wire = wireOf(number);
  vethPair({ netns, name: "eth0" }, { netns: middle, name: `port${number}` });
  middle.run("ip", "link", "set", `port${number}`, "master", `wire${wire}`);
  netns.run("ip", "address", "add", `192.168.${wire}.${number}/24`, "dev", "eth0");
  netns.run("ip", "address", "add", `fd01:0:0:${wire}::${number}/64`, "dev", "eth0", "nodad");
  netns.run("ip", "route", "add", "default", "via", `192.168.${wire}.254`);
  netns.run("ip", "route", "add", "default", "via", `fd01:0:0:${wire}::254`);
  vethPair({ netns, name: "pod0" }, { netns: pod, name: "eth0" });
  const gateways = [`10.244.${number}.1`, `fd00:244:0:${number}::1`];
  netns.run("ip", "address", "add", `${gateways[0]}/24`, "dev", "pod0");
  netns.run("ip", "address", "add", `${gateways[1]}/64`, "dev", "pod0", "nodad");
  pod.run("ip", "address", "add", `${podAddress(number, 4)}/24`, "dev", "eth0");
  pod.run("ip", "address", "add", `${podAddress(number, 6)}/64`, "dev", "eth0", "nodad");
  for (const gateway of gateways) pod.run("ip", "route", "add", "default", "via", gateway);
  return { number, netns, pod, tap: new EventTap(netns.fd), reconciler: reconcilerFor(netns), state: undefined };
}

/** As the agent starts it. */
export const reconcilerFor = (netns: TestNetns): Reconciler =>
  new Reconciler({ rtnl: netns.rtnl, sysctl: kernelSysctls(netns.fd), clock: new FakeClock(), log: silentLog });

export function cluster(config: BackendConfig, families: Families, size: 2 | 3 = 3): TestCluster {
  const middle = router();
  const nodes = Array.from({ length: size }, (_, index) => addNode(index + 1, middle));
  let network = networkOf(config, families);

  const localOf = ({ number, netns }: TestNode): LocalNode => {
    const backend = backendOf(network.backend);
    const wire = wireOf(number);
    const macs = backend
      .macsFor(network.backend, network)
      .map((name, index): [string, Mac] => [name, parseMac(`0e:00:00:00:0${index}:0${number}`)]);
    return {
      name: `node${number}`,
      subnets: [
        ...(families === "v6" ? [] : [parsePrefix(`10.244.${number}.0/24`)]),
        ...(families === "v4" ? [] : [parsePrefix(`fd00:244:0:${number}::/64`)]),
      ],
      underlay: {
        device: "eth0",
        index: netns.indexOf("eth0"),
        mtu: netns.rtnl.link("eth0")?.mtu ?? 0,
        ipv4: parseAddress(`192.168.${wire}.${number}`),
        ipv6: parseAddress(`fd01:0:0:${wire}::${number}`),
        attached: [parsePrefix(`192.168.${wire}.0/24`), parsePrefix(`fd01:0:0:${wire}::/64`)],
      },
      macs: Object.fromEntries(macs),
    };
  };

  const leaseOf = (node: TestNode): Lease => {
    const local = localOf(node);
    const { ipv4, ipv6, attached } = local.underlay;
    const said = backendOf(network.backend).advertise(network.backend, network, local);
    const addresses = [ipv4, ipv6].filter((address) => address !== undefined);
    const lease: Lease = { node: local.name, subnets: local.subnets, addresses, underlays: attached, ...said };
    // As it comes out of the store.
    return JSON.parse(JSON.stringify(lease)) as Lease;
  };

  return {
    nodes,
    configure(next) {
      network = networkOf(next, families);
    },
    settle() {
      const leases = nodes.map(leaseOf);
      return nodes.map((node) => {
        node.state = compile({ network, local: localOf(node) }, leases);
        node.reconciler.setDesired(render(node.state));
        for (const event of node.tap.take()) node.reconciler.onEvent(event);
        return node.reconciler.flush();
      });
    },
  };
}

/** Packets that went into the tunnel devices of a node. */
export function tunnelled({ netns }: TestNode): number {
  const links = netns.rtnl.links({ statistics: true }).filter((link) => link.kind.type === "vxlan");
  return links.reduce((sum, link) => sum + Number(link.statistics?.txPackets ?? 0n), 0);
}

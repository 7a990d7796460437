import type { Family } from "../../base/address.ts";
import { baseOf } from "../../base/prefix.ts";
import type { Problem } from "../../base/problem.ts";
import type { ClusterNetwork, Lease, VxlanConfig } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import type { PeerForwarding, PeerNeighbour, PeerRoute, TunnelDevice } from "../../model/node-state.ts";
import type { Advertisement, Backend, BackendPlan } from "../backend.ts";
import { addressOf, familiesOf, noAddress, peersFor, sharesLink, subnetsOf } from "../peers.ts";
import { readVxlanData, writeVxlanData } from "./backend-data.ts";
import { deviceName, mtuProblems, tunnelMtu, vxlanDevice } from "./device.ts";

/**
 * VXLAN as Flannel lays it: one device a family, and for each remote node a permanent neighbour (subnet.0 → VtepMAC), a
 * forwarding entry (VtepMAC → underlay address) and an onlink route (subnet via subnet.0). Nothing is learnt or flooded.
 * With DirectRouting, nodes on one link get a plain route instead.
 */
export const vxlan: Backend<VxlanConfig> = {
  type: "vxlan",

  macsFor: (config, network) => familiesOf(network).map((family) => deviceName(config.vni, family)),

  advertise(config, network, local): Advertisement {
    const backendData: Partial<Record<Family, unknown>> = {};
    for (const family of familiesOf(network)) {
      const device = vxlanDevice(config, local, family);
      if (isDevice(device)) backendData[family] = writeVxlanData(config, device.mac);
    }
    return { backendType: "vxlan", backendData };
  },

  plan(config, network, local, leases): BackendPlan {
    const plan = new PlanBuilder(config, network, local);
    const peers = peersFor("vxlan", local, leases);
    plan.problems.push(...peers.problems);
    for (const peer of peers.served) plan.add(peer);
    return plan.plan();
  },
};

const isDevice = (value: TunnelDevice | Problem): value is TunnelDevice => "kind" in value;

class PlanBuilder {
  readonly tunnels: TunnelDevice[] = [];
  readonly routes: PeerRoute[] = [];
  readonly neighbours: PeerNeighbour[] = [];
  readonly forwarding: PeerForwarding[] = [];
  readonly problems: Problem[] = [];
  readonly podMtu: number;
  readonly #config: VxlanConfig;
  readonly #local: LocalNode;
  readonly #devices = new Map<Family, TunnelDevice>();
  /** Whose Ethernet address it is, by device and address: one address leads to one node only. */
  readonly #owners = new Map<string, string>();

  constructor(config: VxlanConfig, network: ClusterNetwork, local: LocalNode) {
    this.#config = config;
    this.#local = local;
    const families = familiesOf(network);
    this.podMtu = Math.min(...families.map((family) => tunnelMtu(config, local, family)));
    this.problems.push(...mtuProblems(config, local));
    for (const family of families) {
      const device = vxlanDevice(config, local, family);
      if (!isDevice(device)) this.problems.push(device);
      else {
        this.tunnels.push(device);
        this.#devices.set(family, device);
        this.#owners.set(`${device.name} ${device.mac}`, local.name);
      }
    }
  }

  plan(): BackendPlan {
    const { tunnels, routes, neighbours, forwarding, problems, podMtu } = this;
    return { tunnels, routes, neighbours, forwarding, problems, podMtu };
  }

  add(peer: Lease): void {
    for (const [family, device] of this.#devices) {
      if (subnetsOf(peer, family).length > 0) this.#addFamily(peer, family, device);
    }
  }

  #addFamily(peer: Lease, family: Family, device: TunnelDevice): void {
    const remote = addressOf(peer, family);
    if (remote === undefined) {
      this.problems.push(noAddress(peer, family));
      return;
    }
    if (this.#config.directRouting && sharesLink(this.#local, peer, remote)) {
      for (const destination of subnetsOf(peer, family)) {
        const underlay = this.#local.underlay.device;
        this.routes.push({ peer: peer.node, destination, device: underlay, gateway: remote, onlink: false });
      }
      return;
    }
    const data = readVxlanData(peer.backendData[family]);
    if (typeof data === "string") {
      this.#refuse(peer, `IPv${family}: ${data}`, `restart the agent of ${peer.node}; it writes its lease anew`);
      return;
    }
    if (data.VNI !== undefined && data.VNI !== this.#config.vni) {
      const message = `uses VNI ${data.VNI}, this node VNI ${this.#config.vni}`;
      this.#refuse(peer, message, "give all nodes the same Backend.VNI and let their agents read it");
      return;
    }
    const mac = data.VtepMAC;
    const owner = this.#owners.get(`${device.name} ${mac}`);
    if (owner !== undefined) {
      const message = `has the same tunnel address ${mac} as node ${owner}; ${owner} keeps it`;
      this.#refuse(
        peer,
        message,
        `delete ${device.name} on ${peer.node} (a cloned machine?); its agent makes a new one`,
      );
      return;
    }
    this.#owners.set(`${device.name} ${mac}`, peer.node);
    this.forwarding.push({ peer: peer.node, device: device.name, mac, remote });
    for (const destination of subnetsOf(peer, family)) {
      const gateway = baseOf(destination);
      this.neighbours.push({ peer: peer.node, device: device.name, address: gateway, mac });
      this.routes.push({ peer: peer.node, destination, device: device.name, gateway, onlink: true });
    }
  }

  #refuse(peer: Lease, what: string, remedy: string): void {
    this.problems.push({ severity: "error", subject: peer.node, message: `node ${peer.node} ${what}`, remedy });
  }
}

import { type Family, familyOf } from "../../base/address.ts";
import { baseOf } from "../../base/prefix.ts";
import type { Problem } from "../../base/problem.ts";
import type { ClusterNetwork, Lease, VxlanConfig } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import type { TunnelDevice } from "../../model/node-state.ts";
import {
  type Advertisement,
  type Backend,
  type BackendPlan,
  emptyPeerPlan,
  type PeerPlan,
  type PeerPlanner,
} from "../backend.ts";
import { addressOf, familiesOf, noAddress, sharesLink, subnetsOf } from "../peers.ts";
import { readVxlanData, writeVxlanData } from "./backend-data.ts";
import { deviceName, mtuProblems, tunnelMtu, vxlanDevice } from "./device.ts";

/**
 * VXLAN as Flannel lays it: one device a family, and for each remote node a permanent neighbour (subnet.0 → VtepMAC), a
 * forwarding entry (VtepMAC → underlay address) and an onlink route (subnet via subnet.0). Nothing is learnt or flooded.
 * With DirectRouting, nodes on one link get a plain route instead.
 */
export const vxlan: Backend<VxlanConfig> = {
  type: "vxlan",

  macsFor: (config, network) => familiesOf(network).map((family) => deviceName(config, family)),

  advertise(config, network, local): Advertisement {
    const backendData: Partial<Record<Family, unknown>> = {};
    for (const device of devicesOf(config, network, local).filter(isDevice)) {
      backendData[familyOfDevice(device)] = writeVxlanData(config, device.mac);
    }
    return { backendType: "vxlan", backendData };
  },

  plan(config, network, local): BackendPlan {
    const devices = devicesOf(config, network, local);
    return {
      tunnels: devices.filter(isDevice),
      problems: [...mtuProblems(config, local), ...devices.filter(isProblem)],
      podMtu: Math.min(...familiesOf(network).map((family) => tunnelMtu(config, local, family))),
    };
  },

  peerPlanner(config, network, local): PeerPlanner {
    const devices = devicesOf(config, network, local).filter(isDevice);
    return (peer) => {
      const families = devices.map((device) => planFamily(config, local, device, peer));
      const [only] = families;
      if (only !== undefined && families.length === 1) return only;
      return {
        routes: families.flatMap((plan) => plan.routes),
        neighbours: families.flatMap((plan) => plan.neighbours),
        forwarding: families.flatMap((plan) => plan.forwarding),
        problems: families.flatMap((plan) => plan.problems),
      };
    };
  },
};

const isDevice = (value: TunnelDevice | Problem): value is TunnelDevice => "kind" in value;
const isProblem = (value: TunnelDevice | Problem): value is Problem => !isDevice(value);
const familyOfDevice = (device: TunnelDevice): Family => familyOf(device.kind.local);

/** The tunnel device of each family, or why there is none. */
const devicesOf = (config: VxlanConfig, network: ClusterNetwork, local: LocalNode): (TunnelDevice | Problem)[] =>
  familiesOf(network).map((family) => vxlanDevice(config, local, family));

/** The peer's subnets of the device's family, through the device or directly. */
function planFamily(config: VxlanConfig, local: LocalNode, device: TunnelDevice, peer: Lease): PeerPlan {
  const family = familyOfDevice(device);
  const subnets = subnetsOf(peer, family);
  if (subnets.length === 0) return emptyPeerPlan;
  const remote = addressOf(peer, family);
  if (remote === undefined) return refused(noAddress(peer, family));
  if (config.directRouting && sharesLink(local, peer, remote)) {
    const direct = { device: local.underlay.device, gateway: remote, onlink: false };
    return { ...emptyPeerPlan, routes: subnets.map((destination) => ({ destination, ...direct })) };
  }
  const data = readVxlanData(peer.backendData[family]);
  if (typeof data === "string") {
    const remedy = `restart the agent of ${peer.node}; it writes its lease anew`;
    return refused(unusable(peer, `IPv${family}: ${data}`, remedy));
  }
  if (data.VNI !== undefined && data.VNI !== config.vni) {
    const remedy = "give all nodes the same Backend.VNI and let their agents read it";
    return refused(unusable(peer, `uses VNI ${data.VNI}, this node VNI ${config.vni}`, remedy));
  }
  const [name, mac] = [device.name, data.VtepMAC];
  return {
    routes: subnets.map((destination) => ({ destination, device: name, gateway: baseOf(destination), onlink: true })),
    neighbours: subnets.map((subnet) => ({ device: name, address: baseOf(subnet), mac })),
    forwarding: [{ device: name, mac, remote }],
    problems: [],
  };
}

const refused = (problem: Problem): PeerPlan => ({ ...emptyPeerPlan, problems: [problem] });

const unusable = ({ node }: Lease, what: string, remedy: string): Problem => ({
  severity: "error",
  subject: node,
  message: `node ${node} ${what}`,
  remedy,
});

import type { Address } from "../../base/address.ts";
import type { Problem } from "../../base/problem.ts";
import type { HostGwConfig, Lease } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import type { PeerRoute } from "../../model/node-state.ts";
import { type Backend, emptyPeerPlan, type PeerPlanner } from "../backend.ts";
import { addressOf, familiesOf, noAddress, noOwnAddress, ownAddress, sharesLink, subnetsOf } from "../peers.ts";

/** A plain route a remote subnet, through that node's own address. No overhead; every node must be on one link. */
export const hostgw: Backend<HostGwConfig> = {
  type: "host-gw",

  macsFor: () => [],

  advertise: () => ({ backendType: "host-gw", backendData: {} }),

  plan(_config, network, local) {
    const missing = familiesOf(network).filter((family) => ownAddress(local, family) === undefined);
    return {
      tunnels: [],
      problems: missing.map((family) => noOwnAddress(local, family)),
      podMtu: local.underlay.mtu,
    };
  },

  peerPlanner(_config, network, local): PeerPlanner {
    const families = familiesOf(network).filter((family) => ownAddress(local, family) !== undefined);
    const { device } = local.underlay;
    return (peer) => {
      const problems: Problem[] = [];
      const routes: PeerRoute[] = [];
      for (const family of families) {
        const subnets = subnetsOf(peer, family);
        if (subnets.length === 0) continue;
        const gateway = addressOf(peer, family);
        if (gateway === undefined) problems.push(noAddress(peer, family));
        else if (!sharesLink(local, peer, gateway)) problems.push(outOfReach(local, peer, gateway));
        else routes.push(...subnets.map((destination) => ({ destination, device, gateway, onlink: false })));
      }
      return { ...emptyPeerPlan, routes, problems };
    };
  },
};

function outOfReach({ underlay: { device, attached } }: LocalNode, peer: Lease, gateway: Address): Problem {
  return {
    severity: "error",
    subject: peer.node,
    message: `node ${peer.node} at ${gateway} is out of host-gw's reach: not on the link of ${device} (${attached.join(", ") || "no network"})`,
    remedy: `use {"Type": "vxlan", "DirectRouting": true}: it tunnels to ${peer.node} and stays direct to the nodes on this link`,
  };
}

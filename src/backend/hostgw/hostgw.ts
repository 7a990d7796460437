import type { Problem } from "../../base/problem.ts";
import type { HostGwConfig } from "../../model/network.ts";
import type { PeerRoute } from "../../model/node-state.ts";
import type { Backend, BackendPlan } from "../backend.ts";
import {
  addressOf,
  familiesOf,
  noAddress,
  noOwnAddress,
  ownAddress,
  peersFor,
  sharesLink,
  subnetsOf,
} from "../peers.ts";

/** A plain route a remote subnet, through that node's own address. No overhead; every node must be on one link. */
export const hostgw: Backend<HostGwConfig> = {
  type: "host-gw",

  macsFor: () => [],

  advertise: () => ({ backendType: "host-gw", backendData: {} }),

  plan(_config, network, local, leases): BackendPlan {
    const { device, mtu, attached } = local.underlay;
    const peers = peersFor("host-gw", local, leases);
    const problems: Problem[] = [...peers.problems];
    const routes: PeerRoute[] = [];
    for (const family of familiesOf(network)) {
      if (ownAddress(local, family) === undefined) {
        problems.push(noOwnAddress(local, family));
        continue;
      }
      for (const peer of peers.served) {
        const subnets = subnetsOf(peer, family);
        if (subnets.length === 0) continue;
        const gateway = addressOf(peer, family);
        if (gateway === undefined) problems.push(noAddress(peer, family));
        else if (!sharesLink(local, peer, gateway)) {
          problems.push({
            severity: "error",
            subject: peer.node,
            message: `node ${peer.node} at ${gateway} is out of host-gw's reach: not on the link of ${device} (${attached.join(", ") || "no network"})`,
            remedy: `use {"Type": "vxlan", "DirectRouting": true}: it tunnels to ${peer.node} and stays direct to the nodes on this link`,
          });
        } else {
          for (const destination of subnets) {
            routes.push({ peer: peer.node, destination, device, gateway, onlink: false });
          }
        }
      }
    }
    return { tunnels: [], routes, neighbours: [], forwarding: [], problems, podMtu: mtu };
  },
};

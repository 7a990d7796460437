import { backendOf } from "../../src/backend/registry.ts";
import type { ClusterNetwork, Lease } from "../../src/model/network.ts";
import type { LocalNode } from "../../src/model/node.ts";
import type { NodeMemory } from "./node-file.ts";
import type { AgentOptions } from "./options.ts";

/** What the other nodes are told of this one. */
export function ownLease(network: ClusterNetwork, local: LocalNode, options: AgentOptions, memory: NodeMemory): Lease {
  const { ipv4, ipv6, attached } = local.underlay;
  const addresses = [ipv4 && (options.publicIp ?? ipv4), ipv6 && (options.publicIpv6 ?? ipv6)];
  return {
    node: local.name,
    id: memory.file.identity,
    subnets: local.subnets,
    addresses: addresses.filter((address) => address !== undefined),
    ...backendOf(network.backend).advertise(network.backend, network, local),
    underlays: attached,
    ...(options.peerPort === 0 ? {} : { peerPort: options.peerPort }),
  };
}

import { backendOf } from "../../src/backend/registry.ts";
import { type Address, type Family, familyOf } from "../../src/base/address.ts";
import type { ClusterNetwork, Lease } from "../../src/model/network.ts";
import type { LocalNode } from "../../src/model/node.ts";
import type { NodeMemory } from "./node-file.ts";
import type { AgentOptions } from "./options.ts";

/** What the other nodes are told of this one. @param overwritten addresses for them to use, before what any flag says. */
export function ownLease(
  network: ClusterNetwork,
  local: LocalNode,
  options: Pick<AgentOptions, "publicIp" | "publicIpv6" | "peerPort">,
  memory: NodeMemory,
  overwritten: readonly Address[] = [],
): Lease {
  const { ipv4, ipv6, attached } = local.underlay;
  const overwrite = (family: Family) => overwritten.find((address) => familyOf(address) === family);
  const addresses = [
    ipv4 && (overwrite(4) ?? options.publicIp ?? ipv4),
    ipv6 && (overwrite(6) ?? options.publicIpv6 ?? ipv6),
  ];
  return {
    node: local.name,
    id: memory.file.identity,
    subnets: local.subnets,
    addresses: addresses.filter((address) => address !== undefined),
    ...backendOf(network.backend).advertise(network.backend, network, local),
    underlays: attached,
    ...(options.peerPort === 0 ? {} : { peerPort: options.peerPort }),
    underlayMtu: local.underlay.mtu,
  };
}

import type { BackendConfig, ClusterNetwork } from "../model/network.ts";
import { allNetworks } from "../model/ranges.ts";

/** A backend in a few words: "vxlan VNI 1 port 8472, direct on one link". */
export function describeBackend(backend: BackendConfig): string {
  if (backend.type !== "vxlan") return backend.type;
  const { vni, port, directRouting, mtu, gbp, learning } = backend;
  return [
    `vxlan VNI ${vni} port ${port}`,
    ...(directRouting ? ["direct on one link"] : []),
    ...(mtu === undefined ? [] : [`MTU ${mtu}`]),
    ...(gbp ? ["GBP"] : []),
    ...(learning ? ["learning"] : []),
  ].join(", ");
}

export const describeNetwork = (network: ClusterNetwork): string => {
  return `${describeBackend(network.backend)}, ${allNetworks(network).join(" and ")}`;
};

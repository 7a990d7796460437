import type { ClusterNetwork } from "../../../src/model/network.ts";
import { withVariant } from "./position-file.ts";

/** "b" to "i" are more than the configurations that can be in use at one time. */
const variants = ["", ..."bcdefghi"];

/**
 * The configuration with a name for its tunnel that none of the others has. Two of one VNI and different ports stand beside
 * each other while the cluster goes from one to the other, and a device in use cannot be renamed before Linux 6.2; two
 * of one VNI and port are one device.
 */
export function named(network: ClusterNetwork, others: readonly ClusterNetwork[]): ClusterNetwork {
  const { backend } = network;
  if (backend.type !== "vxlan") return network;
  const rivals = others.flatMap((other) =>
    other.backend.type === "vxlan" && other.backend.vni === backend.vni ? [other.backend] : [],
  );
  const same = rivals.find((rival) => rival.port === backend.port);
  if (same !== undefined) return withVariant(network, same.variant);
  const taken = new Set(rivals.map((rival) => rival.variant ?? ""));
  return withVariant(
    network,
    variants.find((variant) => !taken.has(variant)),
  );
}

import { type Address, addressFromNumber, familyOf, numberOf, parseAddress, widthOf } from "../../src/base/address.ts";
import { addressAt, baseOf, lengthOf, type Prefix, parsePrefix, prefixOf, sizeOf } from "../../src/base/prefix.ts";
import { pick, type Random } from "../../src/base/random.ts";
import { between, oneIn, times } from "./chance.ts";
import { addressesOfNode, addressesOfPod } from "./flow.ts";
import type { ClusterObjects } from "./objects.ts";

/** Addresses that mean something: pods', also of those that are over, nodes', and some outside. */
export function knownAddresses(cluster: ClusterObjects): Address[] {
  return [
    ...cluster.pods.flatMap((pod) => [
      ...addressesOfPod(pod),
      ...(pod.status.podIPs ?? []).map(({ ip }) => parseAddress(ip)),
    ]),
    ...cluster.nodes.flatMap(addressesOfNode),
    ...["192.0.2.7", "198.51.100.1", "2001:db8::7"].map(parseAddress),
  ];
}

/** A network that holds an address of the cluster's, of any length: everything, pods' networks, single addresses. */
export function generateNetwork(random: Random, cluster: ClusterObjects): Prefix {
  if (oneIn(random, 6)) return parsePrefix(pick(random, ["0.0.0.0/0", "::/0"]));
  const address = pick(random, knownAddresses(cluster));
  return prefixOf(
    address,
    pick(random, familyOf(address) === 4 ? [8, 16, 24, 29, 30, 31, 32] : [16, 48, 64, 112, 126, 128]),
  );
}

/** Narrower networks inside it, some of which hold an address that the cluster knows. */
export function generateExcept(random: Random, cluster: ClusterObjects, outer: Prefix): Prefix[] {
  const width = widthOf(familyOf(baseOf(outer)));
  if (lengthOf(outer) === width) return [];
  const inside = knownAddresses(cluster).filter(
    (address) => familyOf(address) === familyOf(baseOf(outer)) && prefixOf(address, lengthOf(outer)) === outer,
  );
  return times(between(random, 1, 2), () => {
    const address = inside.length > 0 && !oneIn(random, 4) ? pick(random, inside) : baseOf(outer);
    return prefixOf(address, between(random, lengthOf(outer) + 1, width));
  });
}

/** First and last address of a network and their neighbours outside. */
export function edgesOf(network: Prefix): Address[] {
  const [first, last] = [baseOf(network), addressAt(network, sizeOf(network) - 1n)];
  const family = familyOf(first);
  const edges = [first, last];
  if (numberOf(first) > 0n) edges.push(addressFromNumber(family, numberOf(first) - 1n));
  if (numberOf(last) < (1n << BigInt(widthOf(family))) - 1n) edges.push(addressFromNumber(family, numberOf(last) + 1n));
  return edges;
}

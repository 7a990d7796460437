import type { Address } from "../../../src/base/address.ts";
import { addressAt } from "../../../src/base/prefix.ts";
import { bareNode, type NodeObject, policyNode } from "../../../src/intent/kubernetes/node.ts";
import type { Lease } from "../../../src/model/network.ts";
import type { PolicyNode } from "../../../src/model/policy.ts";
import type { NodeObserver } from "../../../src/store/kubernetes/node-kind.ts";

export interface PolicyNodesOptions {
  /** This one. */
  readonly node: string;
  /** All that this machine has, as the kernel says. */
  readonly ownAddresses: () => Iterable<Address>;
  /** The machine is other than before, perhaps. Undefined: it is gone. */
  readonly onNode: (name: string, node: PolicyNode | undefined) => void;
}

/**
 * The cluster's machines with every address from which their own packets come: of the underlay, of their tunnel devices (a host's
 * packets to pods elsewhere come from there), as their Node objects and leases tell.
 */
export class PolicyNodes implements NodeObserver {
  readonly #options: PolicyNodesOptions;
  readonly #leases = new Map<string, Lease>();
  readonly #objects = new Map<string, NodeObject>();

  constructor(options: PolicyNodesOptions) {
    this.#options = options;
  }

  setLease(name: string, lease: Lease | undefined): void {
    if (lease === undefined) this.#leases.delete(name);
    else this.#leases.set(name, lease);
    this.#tell(name);
  }

  ownAddressesChanged(): void {
    this.#tell(this.#options.node);
  }

  replaced(nodes: readonly NodeObject[]): void {
    const gone = new Set(this.#objects.keys());
    for (const node of nodes) {
      gone.delete(node.metadata.name);
      this.changed(node);
    }
    for (const name of gone) this.deleted(name);
  }

  changed({ metadata: { name, labels = {} }, status }: NodeObject): void {
    // 15 kB each as they come, most of it images.
    this.#objects.set(name, { metadata: { name, labels }, status: { addresses: status?.addresses ?? [] } });
    this.#tell(name);
  }

  deleted(name: string): void {
    this.#objects.delete(name);
    this.#tell(name);
  }

  #tell(name: string): void {
    const [lease, object, own] = [this.#leases.get(name), this.#objects.get(name), name === this.#options.node];
    if (lease === undefined && object === undefined && !own) {
      this.#options.onNode(name, undefined);
      return;
    }
    const addresses = [
      ...(lease === undefined ? [] : addressesOf(lease)),
      ...(own ? this.#options.ownAddresses() : []),
    ];
    this.#options.onNode(name, object === undefined ? bareNode(name, addresses) : policyNode(object, addresses));
  }
}

/** A subnet's first two addresses are no pod's: those of its node's tunnel device and bridge, as Flannel has them. */
const addressesOf = ({ addresses, subnets }: Lease): Address[] => [
  ...addresses,
  ...subnets.flatMap((subnet) => [addressAt(subnet, 0n), addressAt(subnet, 1n)]),
];

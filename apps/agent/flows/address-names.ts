import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { FlowEnd } from "../../../src/model/flow.ts";
import type { PolicyModel, PolicyNode, WorkloadEndpoint } from "../../../src/model/policy.ts";

export interface AddressNamesOptions {
  /** What is known of the cluster; without any policy that is little. */
  readonly model: Pick<PolicyModel, "endpoints" | "nodes">;
  /** Pods that CNI attached here. */
  readonly attached: () => readonly AttachedPod[];
  readonly node: string;
  readonly clock: Clock;
}

export interface AttachedPod {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Address[];
}

/** An address is given out again after 30 s at the earliest (--address-reuse-delay). */
const clusterEveryMs = 5000;
/** Own pods always, others when some came or went: but for no more than a fiftieth of the time. */
const soonMs = 500;
const costShare = 50;

/**
 * Whose an address is. The index of the whole cluster is made anew now and then, when somebody asks: 30,000 pods take 10 ms, and to keep
 * it at each change of each pod would cost more than the few flows that ask.
 */
export class AddressNames {
  readonly #options: AddressNamesOptions;
  #cluster: ReadonlyMap<Address, WorkloadEndpoint | PolicyNode> = new Map();
  #own: ReadonlyMap<Address, FlowEnd> = new Map();
  #clusterUntil = Number.NEGATIVE_INFINITY;
  #clusterAtLeastUntil = Number.NEGATIVE_INFINITY;
  #known = 0;
  #ownUntil = Number.NEGATIVE_INFINITY;

  constructor(options: AddressNamesOptions) {
    this.#options = options;
  }

  end(address: Address): FlowEnd {
    const own = this.#ownIndex().get(address);
    if (own !== undefined) return own;
    const found = this.#clusterIndex().get(address);
    if (found === undefined) return { kind: "address", address };
    if (!("pod" in found)) return { kind: "node", address, name: found.name };
    const { namespace, pod: name, labels, node } = found;
    return { kind: "pod", address, namespace, name, labels, ...(node === undefined ? {} : { node }) };
  }

  /** A pod of this node has it. */
  isOwn(address: Address): boolean {
    if (this.#ownIndex().has(address)) return true;
    // Another program's pod network is below: then the model alone tells.
    const found = this.#clusterIndex().get(address);
    return found !== undefined && "pod" in found && found.node === this.#options.node;
  }

  #ownIndex(): ReadonlyMap<Address, FlowEnd> {
    const { attached, model, node, clock } = this.#options;
    const now = clock.monotonic();
    if (now < this.#ownUntil) return this.#own;
    const index = new Map<Address, FlowEnd>();
    for (const { namespace, name, addresses } of attached()) {
      const labels = model.endpoints.get(`${namespace}/${name}`)?.labels ?? {};
      for (const address of addresses) index.set(address, { kind: "pod", address, namespace, name, labels, node });
    }
    this.#ownUntil = now + Math.max(soonMs, (clock.monotonic() - now) * costShare);
    this.#own = index;
    return index;
  }

  #clusterIndex(): ReadonlyMap<Address, WorkloadEndpoint | PolicyNode> {
    const { model, clock } = this.#options;
    const now = clock.monotonic();
    const known = model.endpoints.size + model.nodes.size;
    if (now < (known === this.#known ? this.#clusterUntil : this.#clusterAtLeastUntil)) return this.#cluster;
    const index = new Map<Address, WorkloadEndpoint | PolicyNode>();
    for (const owners of [model.nodes, model.endpoints])
      for (const owner of owners.values()) for (const address of owner.addresses) index.set(address, owner);
    this.#known = known;
    this.#clusterUntil = now + clusterEveryMs;
    this.#clusterAtLeastUntil = now + Math.max(soonMs, (clock.monotonic() - now) * costShare);
    this.#cluster = index;
    return index;
  }
}

import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { FlowEnd } from "../../../src/model/flow.ts";
import type { EndpointName, PolicyModel, PolicyNode, WorkloadEndpoint } from "../../../src/model/policy.ts";

export interface AddressNamesOptions {
  readonly model: Pick<PolicyModel, "endpoints" | "nodes">;
  /** Pods of this node, by its own knowledge. */
  readonly attached: () => ReadonlyMap<EndpointName, readonly Address[]>;
  readonly node: string;
  readonly clock: Clock;
}

/** An address is given out again after 30 s at the earliest (--address-reuse-delay). */
const clusterEveryMs = 5000;
const ownEveryMs = 500;

/**
 * Whose an address is. The index of the whole cluster is made anew now and then, when somebody asks: 30,000 pods take 10 ms, and to keep
 * it at each change of each pod would cost more than the few flows that ask.
 */
export class AddressNames {
  readonly #options: AddressNamesOptions;
  #cluster: ReadonlyMap<Address, WorkloadEndpoint | PolicyNode> = new Map();
  #own: ReadonlyMap<Address, FlowEnd> = new Map();
  #clusterUntil = Number.NEGATIVE_INFINITY;
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
    return this.#ownIndex().has(address);
  }

  #ownIndex(): ReadonlyMap<Address, FlowEnd> {
    const { attached, model, node, clock } = this.#options;
    const now = clock.monotonic();
    if (now < this.#ownUntil) return this.#own;
    const index = new Map<Address, FlowEnd>();
    for (const [key, addresses] of attached()) {
      const labels = model.endpoints.get(key)?.labels ?? {};
      const [namespace = "", name = ""] = key.split("/");
      for (const address of addresses) index.set(address, { kind: "pod", address, namespace, name, labels, node });
    }
    this.#ownUntil = now + ownEveryMs;
    this.#own = index;
    return index;
  }

  #clusterIndex(): ReadonlyMap<Address, WorkloadEndpoint | PolicyNode> {
    const { model, clock } = this.#options;
    const now = clock.monotonic();
    if (now < this.#clusterUntil) return this.#cluster;
    const index = new Map<Address, WorkloadEndpoint | PolicyNode>();
    for (const owners of [model.nodes, model.endpoints])
      for (const owner of owners.values()) for (const address of owner.addresses) index.set(address, owner);
    this.#clusterUntil = now + clusterEveryMs;
    this.#cluster = index;
    return index;
  }
}

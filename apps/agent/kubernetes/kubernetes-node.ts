import type { Clock } from "../../../src/base/clock.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import { openKubernetesClient } from "../../../src/store/kubernetes/datastore.ts";
import type { LazyDatastore } from "../../../src/store/lazy.ts";
import type { ClusterNodes } from "./cluster-nodes.ts";
import { ConditionKeeper } from "./condition-keeper.ts";
import { type NodeFacts, networkCondition } from "./network-condition.ts";
import { NodeEvents } from "./node-events.ts";
import { PodAddresses } from "./pod-addresses.ts";

export interface KubernetesNodeOptions {
  readonly nodes: ClusterNodes;
  readonly store: LazyDatastore;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

/** What an agent reads and says beside leases because its datastore is Kubernetes: of Nodes, and in its own Node and pods. */
export class KubernetesNode {
  readonly nodes: ClusterNodes;
  readonly pods: PodAddresses;
  readonly #condition: ConditionKeeper;
  readonly #events: NodeEvents;

  constructor({ nodes, store, ...others }: KubernetesNodeOptions) {
    const client = async (): Promise<KubernetesClient> => openKubernetesClient(await store.engine());
    const options = { nodes, client, ...others };
    this.nodes = nodes;
    this.pods = new PodAddresses(options);
    this.#events = new NodeEvents(options);
    this.#condition = new ConditionKeeper({
      ...options,
      onWritten: (before, now) => {
        if (before?.status === "True" && now.status === "False") this.#events.tell(now.reason, now.message);
      },
    });
  }

  get problems(): readonly Problem[] {
    return this.pods.problems;
  }

  /** After each look of the agent at everything. */
  update(facts: NodeFacts): void {
    this.#condition.want(networkCondition(facts));
    this.#events.set(facts.problems);
  }

  stop(): void {
    this.#condition.stop();
    this.#events.stop();
    this.pods.stop();
  }
}

import type { Clock } from "../../../src/base/clock.ts";
import type { Log } from "../../../src/base/log.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { ClusterNodes } from "./cluster-nodes.ts";
import { ConditionKeeper } from "./condition-keeper.ts";
import { type NodeFacts, networkCondition } from "./network-condition.ts";
import { NodeEvents } from "./node-events.ts";

export interface NodeReportOptions {
  readonly nodes: ClusterNodes;
  readonly client: () => Promise<Pick<KubernetesClient, "create" | "patch">>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What this node says of itself in Kubernetes: the condition NetworkUnavailable and the events of its Node. */
export class NodeReport {
  readonly #condition: ConditionKeeper;
  readonly #events: NodeEvents;

  constructor(options: NodeReportOptions) {
    this.#events = new NodeEvents(options);
    this.#condition = new ConditionKeeper({
      ...options,
      onWritten: (before, now) => {
        const recovered = before?.status === "True" && now.status === "False";
        if (recovered) this.#events.tell(now.reason, now.message);
      },
    });
  }

  update(facts: NodeFacts): void {
    this.#condition.want(networkCondition(facts));
    this.#events.set(facts.problems);
  }

  stop(): void {
    this.#condition.stop();
    this.#events.stop();
  }
}

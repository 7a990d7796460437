import { join } from "node:path";
import type { Clock } from "../../../src/base/clock.ts";
import { isCode, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import type { Poller } from "../../../src/kernel/poller.ts";
import { kernelSysctls, type Sysctls } from "../../../src/kernel/sysctl.ts";
import type { DecisionUse } from "../../../src/model/decision-use.ts";
import type { FlowPage, FlowsRequest } from "../../../src/model/flow.ts";
import { policyName } from "../../../src/model/policy.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import type { Metric } from "../metrics.ts";
import type { AgentOptions } from "../options.ts";
import type { Policy } from "../policy/policy.ts";
import { AddressNames, type AttachedPod } from "./address-names.ts";
import { DecisionUses, type PolicyTotals } from "./decision-uses.ts";
import { FlowLog } from "./flow-log.ts";
import { historyDefaults } from "./history-writer.ts";
import { metricsOfFlows } from "./metrics-of-flows.ts";

export interface NodeFlowsOptions {
  readonly options: Pick<AgentOptions, "nodeName" | "stateDir" | "sysctlDir" | "flowLog" | "flowHistory">;
  /** Absent: no policy is enforced. */
  readonly policy?: Pick<Policy, "model" | "state" | "compiler">;
  readonly attached: () => readonly AttachedPod[];
  readonly nft: Pick<Nft, "elements">;
  readonly poller: Poller;
  readonly clock: Clock;
  readonly log: Log;
}

/** Without it conntrack counts no packets. The module that has it may come with the first rule that tracks connections. */
const accounting = ["netfilter", "nf_conntrack_acct"];
const accountEveryMs = 60_000;

/** Flows and counters of policy as a part of the agent. */
export class NodeFlows {
  readonly #options: NodeFlowsOptions;
  readonly #flows: FlowLog | undefined;
  readonly #uses: DecisionUses;
  readonly #stop = new AbortController();

  constructor(options: NodeFlowsOptions) {
    this.#options = options;
    const { policy, attached, nft, poller, clock, log } = options;
    const { nodeName: node, stateDir, sysctlDir, flowLog, flowHistory } = options.options;
    const decision = (number: number) => policy?.compiler.decisionNumbers.decisions.get(number);
    const names = new AddressNames({ model: policy?.model ?? noModel, attached, node, clock });
    if (flowLog !== "off") {
      const folder = join(stateDir, "flows");
      this.#flows = new FlowLog({
        scope: flowLog,
        knowledge: {
          decision,
          tier: (decided) => this.#tierOf(decided),
          end: (address) => names.end(address),
          isOwn: (address) => names.isOwn(address),
        },
        ...(flowHistory === 0
          ? {}
          : { history: { folder, node, maximumBytes: flowHistory << 20, fileBytes: historyDefaults.fileBytes } }),
        ...{ poller, clock, log },
        sysctls: kernelSysctls(undefined, sysctlDir),
      });
    }
    this.#uses = new DecisionUses({ nft, decision, lastHit: (number) => this.#flows?.lastHit(number), clock });
  }

  /** Flows are told at all. */
  get isOn(): boolean {
    return this.#flows !== undefined;
  }
  get problems(): readonly Problem[] {
    return this.#flows?.problems ?? [];
  }

  /** Has the kernel count connections' packets. @param sysctls what it was before is remembered there. */
  async countTraffic(sysctls: Sysctls): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    while (this.isOn && !signal.aborted) {
      try {
        const value = sysctls.tryRead(accounting);
        if (value !== undefined && value !== "1") sysctls.write(accounting, "1");
      } catch (error) {
        log.warn("connections' packets are not counted", { error });
        return;
      }
      await clock.sleep(accountEveryMs, signal);
    }
  }

  /** @throws TwillError. */
  page(request: FlowsRequest): Promise<FlowPage> {
    return this.#flows?.page(request) ?? Promise.reject(new TwillError("unsupported", "flows are off"));
  }

  /** @throws TwillError. */
  decisions(): readonly DecisionUse[] {
    return this.#ofKernel(() => this.#uses.all());
  }

  metrics(): Metric[] {
    return metricsOfFlows(
      this.#flows?.counters,
      this.#ofKernel((): readonly PolicyTotals[] => this.#uses.totals()),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#flows?.close();
  }

  /** Without a policy there is no table to read. */
  #ofKernel<T>(read: () => readonly T[]): readonly T[] {
    if (this.#options.policy?.state === undefined) return [];
    try {
      return read();
    } catch (error) {
      if (isCode(error, "not-found")) return [];
      throw error;
    }
  }

  #tierOf({ reason }: Decision): string | undefined {
    if (!("policy" in reason)) return undefined;
    return this.#options.policy?.model.policies.get(policyName(reason.policy))?.tier;
  }
}

const noModel = { endpoints: new Map(), nodes: new Map() };

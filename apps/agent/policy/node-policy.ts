import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeMissing, missingFeatures } from "../../../src/apply/nft-features.ts";
import type { Address } from "../../../src/base/address.ts";
import { isCode, TwillError } from "../../../src/base/errors.ts";
import type { Mac } from "../../../src/base/mac.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Conntrack } from "../../../src/kernel/conntrack.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import type { Rtnl } from "../../../src/kernel/rtnl.ts";
import { kernelSysctls } from "../../../src/kernel/sysctl.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import { twillTable } from "../../../src/render/masquerade.ts";
import { policyFeatures } from "../../../src/render/policy/features.ts";
import type { PolicyOptions as TableOptions } from "../../../src/render/policy/options.ts";
import { closedInterfaces } from "../../../src/render/policy/program.ts";
import type { PodRecord } from "../cni-service/pod-record.ts";
import type { Dataplane } from "../dataplane.ts";
import type { AgentOptions } from "../options.ts";
import { BridgeFilter } from "./bridge-filter.ts";
import { BridgeGuard } from "./bridge-guard.ts";
import { DecisionFile } from "./decision-file.ts";
import { DecisionSweep } from "./decision-sweep.ts";
import { heldPolicy } from "./held-policy.ts";
import { Policy, type PolicyOptions } from "./policy.ts";
import { PolicyNodes } from "./policy-nodes.ts";
import { Quarantine } from "./quarantine.ts";
import { Recheck } from "./recheck.ts";

export interface NodePolicyOptions
  extends Pick<PolicyOptions, "store" | "caches" | "clock" | "random" | "log" | "onChange"> {
  readonly options: AgentOptions;
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  readonly openConntrack: () => Conntrack;
  /** Undefined: it is not there yet. */
  readonly dataplane: () => Dataplane | undefined;
}

/** How our own pods' interfaces on the host begin (src/attach). */
const podInterfaces = "twl";

/** Policy as a part of the agent: with the cluster's machines, and the agent's settings. */
export class NodePolicy extends Policy {
  readonly nodes: PolicyNodes;
  readonly tableOptions: TableOptions;
  readonly #decisions: DecisionFile;
  readonly #quarantine: Quarantine;
  readonly #guard: BridgeGuard;
  readonly #sweep: DecisionSweep;
  readonly #recheck: Recheck | undefined;
  readonly #bridges: BridgeFilter | undefined;

  constructor({ options, rtnl, nft, openConntrack, dataplane, ...others }: NodePolicyOptions) {
    const { nodeName: node, policyUnknown: unknown } = options;
    const boot = readFileSync(options.bootIdFile, "utf8").trim();
    const decisions = new DecisionFile(join(options.stateDir, "cache", "decisions.json"), boot, others.log);
    const bridged = options.attachment === "bridge";
    const writeDown = () => decisions.changed(() => this.compiler.decisionNumbers.decisions);
    super({
      ...others,
      node,
      unknown,
      kernel: {
        held: heldPolicy(readTable(nft), decisions.load()),
        get isReady() {
          return dataplane()?.isStarted === true;
        },
        write: (state, change) => {
          if (state !== undefined) this.#bridges?.filter();
          // Before the first policy is in force, and behind the last.
          if (state !== undefined) this.#guard.enforce(bridged);
          try {
            this.#quarantine.write(state, change);
          } catch (error) {
            throw explained(nft, this.tableOptions, error);
          }
          if (state === undefined) this.#guard.enforce(false);
          if (change === undefined || change.verdicts.size > 0) {
            writeDown();
            this.#sweep.changed();
          }
          this.#recheck?.changed();
        },
      },
    });
    this.#decisions = decisions;
    this.#bridges =
      options.attachment === "routed" ? undefined : new BridgeFilter(kernelSysctls(undefined, options.sysctlDir));
    this.tableOptions = tableOptions(options);
    this.#guard = new BridgeGuard({ nft, log: others.log, podInterfaces });
    this.#quarantine = new Quarantine({
      writer: dataplane,
      cutsUnknown: closedInterfaces(this.tableOptions) !== undefined,
      nameOf: (address) => this.#nameOf(address),
      log: others.log,
    });
    const ownAddresses = () =>
      rtnl.addresses().flatMap(({ address, scope }) => (scope === "universe" ? [address] : []));
    const { clock, log } = others;
    if (options.policyEstablished === "recheck")
      this.#recheck = new Recheck({ conntrack: openConntrack(), state: () => this.state, ownAddresses, clock, log });
    const numbers = () => this.compiler.decisionNumbers;
    this.#sweep = new DecisionSweep({ openConntrack, numbers, onForgotten: writeDown, clock, log });
    this.nodes = new PolicyNodes({ node, ownAddresses, onNode: (name, of) => this.setNode(name, of) });
    this.nodes.ownAddressesChanged();
  }

  override get problems(): readonly Problem[] {
    return [
      ...super.problems,
      ...this.#quarantine.problems,
      ...this.#guard.problems,
      ...(this.#bridges?.problems ?? []),
    ];
  }

  override added(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[], bridged?: Mac): void {
    try {
      if (bridged !== undefined) this.#guard.put(key, bridged, addresses);
      super.added(key, pod, addresses);
    } catch (error) {
      this.#guard.remove(key);
      throw error;
    }
  }

  override restored(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[], bridged?: Mac): void {
    if (bridged !== undefined) this.#guard.put(key, bridged, addresses);
    super.restored(key, pod, addresses);
  }

  override removed(key: AttachmentKey): void {
    this.#guard.remove(key);
    super.removed(key);
  }

  #nameOf(address: Address): string {
    for (const [name, addresses] of this.compiler.attached) if (addresses.includes(address)) return `pod ${name}`;
    return address;
  }

  override async stop(): Promise<void> {
    this.#recheck?.stop();
    this.#sweep.stop();
    this.#guard.stop();
    await super.stop();
    this.#decisions.flush();
  }
}

/** Reports of denied packets: enough for people, and no load in a flood. */
const denyLog = { perSecond: 200, burst: 400 };

const tableOptions = ({ policyEstablished, policyDenied, policyUnknown, attachment }: AgentOptions): TableOptions => ({
  established: policyEstablished,
  deny: policyDenied,
  log: denyLog,
  // Behind a bridge's ports no address is routed to one of them.
  ...(attachment === "routed" && { podInterfaces }),
  unknownPodsAllowed: policyUnknown === "open",
});

/** Without the capability for it the agent starts all the same, and says what it lacks (capabilities.ts). */
function readTable(nft: Nft): ReturnType<Nft["read"]> {
  try {
    return nft.read(twillTable.family, twillTable.table);
  } catch (error) {
    if (isCode(error, "denied")) return undefined;
    throw error;
  }
}

/** What the kernel refuses it may never take: each thing that policy needs is tried alone, and what is missing is named. */
function explained(nft: Nft, options: TableOptions, error: unknown): unknown {
  if (!(error instanceof TwillError)) return error;
  try {
    const missing = missingFeatures(nft, policyFeatures(options)).map(describeMissing);
    if (missing.length === 0) return error;
    return new TwillError("unsupported", `this kernel lacks ${missing.join("; ")}`, {
      operation: "enforce policy",
      remedy: "load the kernel's module, or use a kernel that has it; --policy=off goes without policy",
      cause: error,
    });
  } catch {
    return error;
  }
}

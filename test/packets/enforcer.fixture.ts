import { type NftReport, NftTableKeeper } from "../../src/apply/nft-table.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import type { PolicyChange, PolicyState } from "../../src/model/policy-state.ts";
import { type NftData, numberOfHostData } from "../../src/objects/nft-data.ts";
import { denyChain } from "../../src/render/policy/names.ts";
import type { PolicyOptions } from "../../src/render/policy/options.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";

export const routed: PolicyOptions = { established: "keep", deny: "drop", podInterfaces: "twl" };
export const byAddress: PolicyOptions = { established: "keep", deny: "drop" };

/** Policy on one node, as an agent has it. */
export class Enforcer {
  readonly nft: Nft;
  readonly keeper: NftTableKeeper;
  #rendering = new PolicyRendering(routed);

  constructor(nft: Nft) {
    this.nft = nft;
    this.keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
  }

  enforce(state: PolicyState, options: PolicyOptions = routed): NftReport {
    this.#rendering = new PolicyRendering(options);
    return this.keeper.apply(this.#rendering.table(state));
  }

  change(change: Partial<PolicyChange>): NftReport {
    const none = { addresses: new Map(), ports: new Map(), decisions: new Map(), verdicts: new Map() };
    return this.keeper.patch(this.#rendering.change({ ...none, ...change }));
  }

  off(): void {
    this.keeper.remove();
  }

  /** Packets by decision. */
  counts(): ReadonlyMap<number, number> {
    const elements = this.nft.elements({ family: "inet", table: "twill", set: "verdicts" });
    return new Map(elements.map(({ key, packets = 0n }) => [numberOfHostData(key as NftData), Number(packets)]));
  }

  /** Packets that such a chain dropped. */
  dropped(reason: Parameters<typeof denyChain>[0]): number {
    const rules = this.nft.rules({ family: "inet", table: "twill", chain: denyChain(reason) });
    const counters = rules.flatMap(({ expressions }) => expressions.filter((each) => each.type === "counter"));
    return counters.reduce((sum, { packets = 0n }) => sum + Number(packets), 0);
  }
}

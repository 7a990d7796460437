import type { Hop, WatchPoint } from "./leg.ts";
import type { HookVerdict } from "./ruleset.ts";

/** Ends a walk where the packet ends. */
export class Stopped extends Error {}

/** The hops of one node, as they are found. */
export class HopRecord {
  readonly hops: Hop[] = [];
  readonly #node: string;

  constructor(node: string) {
    this.#node = node;
  }

  add(hop: Omit<Hop, "node">): void {
    this.hops.push({ node: this.#node, ...hop });
  }

  pass(place: string, text: string, watch?: WatchPoint): void {
    this.add({ place, text, verdict: "passes", ...(watch === undefined ? {} : { watch }) });
  }

  /** Something that happens to the packet and stops it not. */
  note(place: string, text: string): void {
    this.pass(place, text);
  }

  /** @throws Stopped. */
  stop(place: string, text: string, remedy: string): never {
    this.add({ place, text, verdict: "stops", remedy });
    throw new Stopped(text);
  }

  /** What nf_tables says at a hook. @throws Stopped for a drop. */
  hook(place: string, verdict: HookVerdict): HookVerdict {
    const { drops, by = "", table } = verdict;
    if (drops === "yes" && table === "twill") this.#ownDrop(place, by);
    if (drops === "yes") this.stop(place, by, "let this rule's owner accept the pods' network");
    if (drops === "perhaps") this.add({ place, text: `perhaps: ${by}`, verdict: "unsure" });
    return verdict;
  }

  /** By a rule, or because the packet is not what its pod may send (src/render/policy, chains deny_…). @throws Stopped. */
  #ownDrop(place: string, by: string): never {
    if (/ deny_(?:in|e)gress:/.test(by))
      this.stop(place, `policy denies it: ${by}`, "twill explain, with the same two ends, names the policy's rule");
    return this.stop(
      place,
      `Twill drops it: ${by}`,
      "twill status says what is wrong; twill flows --denied, why it was dropped",
    );
  }
}

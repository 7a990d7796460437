import { foreignDrops } from "../../src/apply/foreign-drops.ts";
import { describeError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Prefix } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import { twillTable } from "../../src/render/masquerade.ts";

/** One small request tells whether any table changed; only then are the others' chains read. Milliseconds. */
const everyMs = 10_000;

/**
 * Looks out for other programs that drop forwarded packets (Docker's FORWARD policy, firewalld): an accept of ours cannot
 * overrule them. They are named, never touched.
 */
export class FirewallWatch {
  readonly #nft: Nft;
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #generation: number | undefined;
  #drops: readonly string[] = [];

  constructor(nft: Nft, log: Log, onChange: () => void) {
    this.#nft = nft;
    this.#log = log;
    this.#onChange = onChange;
    this.#timer = setInterval(() => this.look(), everyMs);
    this.look();
  }

  problems(networks: readonly Prefix[]): readonly Problem[] {
    return this.#drops.map((drop) => ({
      severity: "warning",
      subject: "firewall",
      reason: "ForeignFirewall",
      message: `another program drops forwarded packets, and with them the pods', unless a rule of its own accepts these: ${drop}`,
      remedy: `let it accept ${networks.join(", ")} as source and destination; compare with: nft list ruleset`,
    }));
  }

  look(): void {
    try {
      const generation = this.#nft.generation();
      if (generation === this.#generation) return;
      this.#generation = generation;
      const found = foreignDrops(this.#nft, [twillTable.table])
        .filter(({ conditional }) => !conditional)
        .map(({ text }) => text);
      if (found.join() === this.#drops.join()) return;
      this.#drops = found;
      this.#onChange();
    } catch (error) {
      this.#log.debug("other programs' nf_tables could not be read", { error: describeError(error) });
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

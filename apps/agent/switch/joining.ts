import { TwillError } from "../../../src/base/errors.ts";
import type { Position, Standing, Target } from "../../../src/model/live-switch.ts";

export interface JoiningOptions {
  /** Tells this joining from one of before. */
  readonly nonce: string;
  /** The target's epoch as the datastore has it now; undefined: it has none. @throws TwillError when it cannot be asked. */
  readonly askEpoch: () => Promise<number | undefined>;
  readonly onChange: () => void;
}

/**
 * How a new node begins, or one whose kernel a boot has emptied: it tells the others that it is there, sees that they can
 * see it, and asks what the target is then. Whoever drops a configuration after that waits for this node, too; what was
 * dropped before, this node can see.
 */
export class Joining {
  readonly #options: JoiningOptions;
  #isAsking = false;
  #epoch: number | undefined;

  constructor(options: JoiningOptions) {
    this.#options = options;
  }

  /** What the node publishes meanwhile. No target has the epoch 0. */
  get standing(): Standing {
    return { epoch: 0, offers: [], sends: this.#options.nonce };
  }

  /** @param published what the others see of this node. */
  mayBegin(published: Position | undefined, target: Target): boolean {
    if (this.#epoch !== undefined) return target.epoch >= this.#epoch;
    if (published?.epoch === 0 && published.sends === this.#options.nonce && !this.#isAsking) void this.#ask();
    return false;
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    const { askEpoch, onChange } = this.#options;
    try {
      this.#epoch = await askEpoch();
      onChange();
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      setTimeout(onChange, 1_000);
    } finally {
      this.#isAsking = false;
    }
  }
}

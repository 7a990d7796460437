import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { Holder } from "./subnet-claim.ts";
import type { HeldSubnet, RenewOutcome, SubnetClaimer } from "./subnet-claimer.ts";

export interface KeeperOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** After each time the datastore confirmed the claim. */
  readonly onHeld?: (held: HeldSubnet) => void;
  /**
   * The datastore could not be asked. `expired`: for so long that the claim has run out, and another node may have the
   * subnet by now: no address of it should be given to a new pod.
   */
  readonly onUnconfirmed?: (error: TwillError, expired: boolean) => void;
}

/** Often enough that a claim deleted or taken by hand is noticed soon; one read each, a write only when renewal is due. */
const checkEveryMs = 10 * 60_000;
const firstRetryMs = 1_000;

/**
 * Holds a claim until it is lost or the signal ends it (undefined). What to do about a loss is the caller's: pods
 * live on these addresses, so usually claim again, preferring the same subnet.
 */
export async function keepSubnet(
  claimer: Pick<SubnetClaimer, "renew">,
  holder: Holder,
  first: HeldSubnet,
  { clock, signal, onHeld, onUnconfirmed }: KeeperOptions,
): Promise<Extract<RenewOutcome, { type: "lost" }> | undefined> {
  let held = first;
  let pause = checkEveryMs;
  for (;;) {
    await clock.sleep(pause, signal);
    if (signal.aborted) return undefined;
    try {
      const outcome = await claimer.renew(holder, held);
      if (outcome.type === "lost") return outcome;
      held = outcome.held;
      pause = checkEveryMs;
      onHeld?.(held);
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      pause = pause === checkEveryMs ? firstRetryMs : Math.min(pause * 2, checkEveryMs / 10);
      onUnconfirmed?.(error, held.expiresAt !== undefined && held.expiresAt <= clock.now());
    }
  }
}

import type { Family } from "../base/address.ts";

/** A network configuration by what it means: two texts that mean the same have the same id. 16 hex digits. */
export type ConfigId = string;

/**
 * Where one node stands in the cluster's changes of configuration (docs/design/live-switch.md). Published in its lease,
 * and only once its kernel is so.
 */
export interface Position {
  /** Number of the target that the node follows. A node never goes back to an earlier one. */
  readonly epoch: number;
  /** The configurations by which it receives. */
  readonly accepts: readonly ConfigId[];
  /** The one by which it sends; always one of `accepts`. */
  readonly sends: ConfigId;
}

/** What the cluster goes to. One object in the datastore, changed by compare-and-swap only. */
export interface Target {
  readonly epoch: number;
  readonly id: ConfigId;
  /** Targets of before by which some node may still receive or send, the latest first. */
  readonly earlier: readonly ConfigId[];
}

/** A Position with what senders must know for each configuration. */
export interface Standing {
  readonly epoch: number;
  readonly offers: readonly Offer[];
  readonly sends: ConfigId;
}

/** "You may send to me by this configuration": what the node's lease would say if it were the only one. */
export interface Offer {
  readonly id: ConfigId;
  readonly backendType: string;
  readonly backendData: Readonly<Partial<Record<Family, unknown>>>;
}

export const positionOf = ({ epoch, offers, sends }: Standing): Position => ({
  epoch,
  accepts: offers.map((offer) => offer.id),
  sends,
});

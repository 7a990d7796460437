import type { FlowKind } from "../../../src/insight/flows/aggregate.ts";

export interface OpenConnection {
  readonly kind: FlowKind;
  /** Milliseconds since 1970. */
  readonly began: number;
}

/**
 * What connections were counted as when they began: their end tells no label. Bounded; the oldest are forgotten first, and their ends then
 * go uncounted (those whose end was lost are forgotten in this way, too).
 */
export class OpenConnections {
  readonly #most: number;
  /** By conntrack's id, oldest first. */
  readonly #connections = new Map<number, OpenConnection>();
  #forgotten = 0;

  constructor(most = 65_536) {
    this.#most = most;
  }

  get size(): number {
    return this.#connections.size;
  }
  get forgotten(): number {
    return this.#forgotten;
  }

  add(id: number, connection: OpenConnection): void {
    // A new one with the id of another: that one's end was missed.
    this.#connections.delete(id);
    this.#connections.set(id, connection);
    if (this.#connections.size <= this.#most) return;
    for (const oldest of this.#connections.keys()) {
      this.#connections.delete(oldest);
      this.#forgotten++;
      break;
    }
  }

  has(id: number): boolean {
    return this.#connections.has(id);
  }

  take(id: number): OpenConnection | undefined {
    const found = this.#connections.get(id);
    if (found !== undefined) this.#connections.delete(id);
    return found;
  }
}

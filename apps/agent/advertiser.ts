import type { Clock } from "../../src/base/clock.ts";
import { describeError, isCode, TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Lease } from "../../src/model/network.ts";
import type { Datastore, StoredObject } from "../../src/store/datastore.ts";
import { NODES } from "../kinds.ts";
import { Alarm } from "./alarm.ts";

export interface AdvertiserOptions {
  readonly store: Datastore;
  readonly encode: (lease: Lease) => Uint8Array;
  /** @throws TwillError for what is not a lease. */
  readonly decode: (name: string, value: Uint8Array) => Lease;
  /** Seconds after which the others forget a node that is not heard of; renewed long before. */
  readonly ttlSeconds: number;
  /** Beyond doubt this machine is the one of that name now: what another one left is written over. */
  readonly isOurs?: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

const retryMs = { first: 200, longest: 30_000 };

/** Keeps this node's object in the datastore equal to what it should say: written when it differs, renewed when it does not. */
export class Advertiser {
  readonly #options: AdvertiserOptions;
  #wanted: Lease | undefined;
  #published: string | undefined;
  #running = false;
  readonly #stopped = new AbortController();
  /** Rings when there is a reason to try again before the pause is over. */
  readonly #alarm: Alarm;
  #problem: Problem | undefined;

  constructor(options: AdvertiserOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
  }

  get problems(): readonly Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** The datastore has what this node wants to say. */
  get published(): boolean {
    return this.#wanted !== undefined && this.#published === JSON.stringify(this.#wanted);
  }

  set(lease: Lease): void {
    if (JSON.stringify(lease) === JSON.stringify(this.#wanted)) return;
    this.#wanted = lease;
    void this.#run();
  }

  /** Somebody changed or deleted our object, or what it depends on: look again, at once. */
  recheck(): void {
    this.#published = undefined;
    this.#alarm.ring();
    void this.#run();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const { log, onChange } = this.#options;
    const { signal } = this.#stopped;
    for (let pause = retryMs.first; !signal.aborted && this.#wanted !== undefined && !this.published; ) {
      const lease = this.#wanted;
      try {
        await this.#publish(lease);
        this.#published = JSON.stringify(lease);
        this.#problem = undefined;
        pause = retryMs.first;
        onChange();
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof TwillError)) throw error;
        if (!isCode(error, "conflict") && !isCode(error, "exists")) log.warn("this node is not published", { error });
        this.#problem = {
          severity: "error",
          subject: lease.node,
          reason: "NodeNotPublished",
          message: `the other nodes cannot see what changed here: ${describeError(error)}`,
          remedy: error.remedy ?? "the agent tries again by itself",
        };
        onChange();
        const rang = await this.#alarm.wait(pause, signal);
        pause = rang ? retryMs.first : Math.min(pause * 2, retryMs.longest);
      }
    }
    this.#running = false;
  }

  async #publish(lease: Lease): Promise<void> {
    const { store, encode, decode, ttlSeconds, log } = this.#options;
    const value = encode(lease);
    const options = store.capabilities.ttl ? { ttlSeconds } : {};
    const stored = await store.get(NODES, lease.node);
    if (stored === undefined) {
      checkStored(value, await store.create(NODES, lease.node, value, options));
      return;
    }
    if (Buffer.from(stored.value).equals(value)) return;
    const other = otherMachine(lease, stored.value, decode);
    if (other !== undefined && this.#options.isOurs?.() !== true) {
      throw new TwillError("conflict", `another machine (${other}) has the node name ${lease.node}`, {
        operation: "publish node",
        object: lease.node,
        remedy: `give one of them another name with --node-name; if the other machine is gone for good, run "twill delete node ${lease.node}"`,
      });
    }
    checkStored(value, await store.update(NODES, lease.node, value, stored.revision, options));
    log.debug("node published", { node: lease.node });
  }

  /** Extends the object's time to live; call well before it runs out. */
  async renew(): Promise<void> {
    const { store, ttlSeconds } = this.#options;
    if (this.#wanted === undefined || !store.capabilities.ttl) return;
    try {
      await store.renew(NODES, this.#wanted.node, ttlSeconds);
    } catch (error) {
      if (isCode(error, "not-found")) this.recheck();
      else if (!isCode(error, "unavailable")) throw error;
    }
  }
}

/** A Node's podCIDRs stand for the subnets, whatever we say. */
function checkStored(value: Uint8Array, stored: StoredObject): void {
  if (Buffer.from(stored.value).equals(value)) return;
  throw new TwillError("conflict", "the other nodes read something else than this node says", {
    operation: "publish node",
    object: stored.name,
    remedy: "where Nodes have podCIDRs, these are the subnets: run the agents with --subnets=node there",
  });
}

/**
 * The address of the other machine, when the stored object is not ours. The same address is the same machine, installed
 * anew; a damaged object is nobody's. Both are overwritten.
 */
function otherMachine(lease: Lease, value: Uint8Array, decode: AdvertiserOptions["decode"]): string | undefined {
  try {
    const stored = decode(lease.node, value);
    if (stored.id === undefined || lease.id === undefined || stored.id === lease.id) return undefined;
    if (stored.addresses.some((address) => lease.addresses.includes(address))) return undefined;
    return stored.addresses.join(", ");
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

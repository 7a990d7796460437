import { isCode, TwillError } from "../base/errors.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Datastore, Revision, StoredObject } from "../store/datastore.ts";
import { claimCodec, claimName, SUBNETS, type SubnetClaim, subnetOfName } from "./subnet-claim.ts";

/** A stored claim. */
export interface ClaimEntry {
  readonly subnet: Prefix;
  /** Undefined: it cannot be read, and is respected all the same: someone has the subnet. */
  readonly claim: SubnetClaim | undefined;
  readonly value: Uint8Array;
  readonly revision: Revision;
  /** Wall-clock milliseconds. Absent: never. */
  readonly expiresAt?: number;
}

/** Claims as objects of the datastore: only their codec and compare-and-swap. Throws TwillError `unavailable` as the store does. */
export class ClaimStore {
  readonly #store: Datastore;
  readonly #ttlSeconds: number;

  constructor(store: Datastore, ttlSeconds: number) {
    this.#store = store;
    this.#ttlSeconds = ttlSeconds;
  }

  async list(): Promise<readonly StoredObject[]> {
    return (await this.#store.list(SUBNETS)).objects;
  }

  async read(subnet: Prefix): Promise<ClaimEntry | undefined> {
    const object = await this.#store.get(SUBNETS, claimName(subnet));
    return object && this.decode(object);
  }

  /** Undefined: someone else was first. */
  async create(subnet: Prefix, claim: SubnetClaim): Promise<ClaimEntry | undefined> {
    try {
      const name = claimName(subnet);
      return this.decode(await this.#store.create(SUBNETS, name, claimCodec.encode(claim), this.#lifetime(claim)));
    } catch (error) {
      if (isCode(error, "exists")) return undefined;
      throw error;
    }
  }

  /** Undefined: it changed since it was read. */
  replace({ subnet, value: over, revision }: ClaimEntry, claim: SubnetClaim): Promise<ClaimEntry | undefined> {
    return unlessChanged(async () => {
      const value = claimCodec.encode(claim, over);
      return this.decode(await this.#store.update(SUBNETS, claimName(subnet), value, revision, this.#lifetime(claim)));
    });
  }

  /** False: it changed since it was read. */
  async remove({ subnet, revision }: ClaimEntry): Promise<boolean> {
    const removed = await unlessChanged(async () => {
      await this.#store.delete(SUBNETS, claimName(subnet), revision);
      return true;
    });
    return removed === true;
  }

  #lifetime(claim: SubnetClaim) {
    return this.#store.capabilities.ttl && !claim.reserved ? { ttlSeconds: this.#ttlSeconds } : {};
  }

  /** Undefined: its name is not that of a subnet. */
  decode({ name, value, revision, expiresAt }: StoredObject): ClaimEntry | undefined {
    const subnet = subnetOfName(name);
    if (subnet === undefined) return undefined;
    const claim = readable(name, value);
    // As in Flannel: where claims expire, one that does not is a reservation, however it came about.
    const forever = this.#store.capabilities.ttl && expiresAt === undefined;
    return {
      subnet,
      claim: claim && { ...claim, reserved: claim.reserved || forever },
      value,
      revision,
      ...(expiresAt !== undefined && { expiresAt }),
    };
  }
}

function readable(name: string, value: Uint8Array): SubnetClaim | undefined {
  try {
    return claimCodec.decode(value, `${SUBNETS}/${name}`);
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

async function unlessChanged<T>(write: () => Promise<T>): Promise<T | undefined> {
  try {
    return await write();
  } catch (error) {
    if (isCode(error, "conflict") || isCode(error, "not-found")) return undefined;
    throw error;
  }
}

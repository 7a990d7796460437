import { type Address, type Family, familyOf } from "../base/address.ts";
import type { TwillError } from "../base/errors.ts";
import { type Prefix, prefixFamily } from "../base/prefix.ts";
import {
  addressesExhausted,
  addressOutside,
  addressQuarantined,
  addressReserved,
  addressUsed,
  noSubnet,
} from "./address-errors.ts";
import type { Block, Margins } from "./block.ts";

/**
 * What no pod gets: in IPv4 the network address (of Flannel's tunnel device, too), the gateway and the broadcast
 * address; in IPv6 the subnet-router anycast address (RFC 4291 section 2.6.1) and the gateway.
 */
export const nodeMargins: Readonly<Record<Family, Margins>> = { 4: { first: 2, last: 1 }, 6: { first: 2, last: 0 } };

/** Of a block, for metrics and status. Numbers above 2^53 (IPv6) are rounded. */
export interface BlockCounts {
  readonly subnet: Prefix;
  readonly size: number;
  readonly used: number;
  readonly quarantined: number;
  readonly free: number;
}

/** The blocks from which a node's pods get their addresses: any number, used up one after the other. */
export class AddressPool {
  readonly blocks: readonly Block[];

  /** Blocks must not overlap. */
  constructor(blocks: readonly Block[]) {
    this.blocks = blocks;
  }

  blockOf(address: Address): Block | undefined {
    return this.blocks.find((block) => block.contains(address));
  }

  /** @throws TwillError `exhausted`, saying when to try again where waiting helps; `invalid` when there is no block of the family. */
  next(family: Family, now: number): Address {
    const blocks = this.#ofFamily(family);
    if (blocks.length === 0) throw noSubnet(family);
    for (const block of blocks) {
      const address = block.next(now);
      if (address !== undefined) return address;
    }
    throw addressesExhausted(blocks, now);
  }

  /** Why a pod cannot have the very address that it asked for. Undefined: it can. */
  refusal(address: Address, now: number, owner: string | undefined): TwillError | undefined {
    const block = this.blockOf(address);
    if (block === undefined) return addressOutside(address, this.#ofFamily(familyOf(address)));
    const standing = block.standing(address, now);
    switch (standing.type) {
      case "reserved":
        return addressReserved(address, block);
      case "used":
        return addressUsed(address, owner);
      case "quarantined":
        return addressQuarantined(address, standing.until - now);
      case "free":
        return undefined;
    }
  }

  take(address: Address): void {
    this.blockOf(address)?.take(address);
  }

  release(address: Address, until: number): void {
    this.blockOf(address)?.release(address, until);
  }

  counts(now: number): BlockCounts[] {
    return this.blocks.map((block) => {
      const { prefix, used } = block;
      const size = Number(block.size);
      const quarantined = block.quarantined(now);
      return { subnet: prefix, size, used, quarantined, free: Math.max(0, size - used - quarantined) };
    });
  }

  #ofFamily(family: Family): Block[] {
    return this.blocks.filter(({ prefix }) => prefixFamily(prefix) === family);
  }
}

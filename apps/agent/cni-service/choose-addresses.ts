import { type Address, addressFromNumber, familyOf, numberOf } from "../../../src/base/address.ts";
import { TwillError } from "../../../src/base/errors.ts";
import type { Mac } from "../../../src/base/mac.ts";
import { contains, type InterfaceAddress, lengthOf } from "../../../src/base/prefix.ts";
import type { AddressRange } from "../../../src/intent/cni/ipam.ts";
import type { AddressBook } from "../../../src/ipam/address-book.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import { isAddressTaken } from "./books.ts";

export interface ChosenAddress {
  readonly address: InterfaceAddress;
  readonly gateway: Address;
}

/** Attempts of one call: a range that is full to that extent is full. */
const maximumAttempts = 100_000;

/**
 * One address from each set of ranges, or none at all. Requested addresses take the place of their set's choice.
 * @throws TwillError `exhausted`; `invalid` for a requested address of no set; what the book says of a requested one.
 */
export function assignFromRanges(
  book: AddressBook,
  key: AttachmentKey,
  rangeSets: readonly (readonly AddressRange[])[],
  requested: readonly Address[],
  mac: Mac | undefined,
): ChosenAddress[] {
  const open = [...requested];
  const choices = rangeSets.map((ranges) => {
    const at = open.findIndex((address) => rangeOf(ranges, address) !== undefined);
    const [fixed] = at < 0 ? [] : open.splice(at, 1);
    const candidates = fixed === undefined ? candidatesOf(book, ranges) : [fixed].values();
    return { ranges, fixed: fixed !== undefined, candidates, address: candidates.next().value };
  });
  const [stray] = open;
  if (stray !== undefined) {
    throw new TwillError(
      "invalid",
      "it is in none of the network's ranges, or its range is used up by another request",
      {
        operation: "assign requested address",
        object: stray,
        remedy: "request an address of the network's ipam ranges, at most one a range set",
      },
    );
  }
  for (let attempt = 0; attempt < maximumAttempts; attempt++) {
    const addresses = choices.map(({ address, ranges }) => address ?? exhausted(ranges));
    try {
      book.assign(key, { families: [], requested: addresses, ...(mac === undefined ? {} : { mac }) });
      return choices.map(({ ranges, address }) => describe(ranges, address));
    } catch (error) {
      const refused = choices.find(({ address }) => error instanceof TwillError && error.object === address);
      if (refused === undefined || refused.fixed || !isAddressTaken(error)) throw error;
      refused.address = refused.candidates.next().value;
    }
  }
  return exhausted(rangeSets.flat());
}

function* candidatesOf(book: AddressBook, ranges: readonly AddressRange[]): Generator<Address, undefined> {
  for (const { first, last, gateway } of ranges) {
    const end = numberOf(last);
    for (let number = numberOf(first); number <= end; number++) {
      const address = addressFromNumber(familyOf(first), number);
      if (address !== gateway && book.ownerOf(address) === undefined) yield address;
    }
  }
  return undefined;
}

const rangeOf = (ranges: readonly AddressRange[], address: Address): AddressRange | undefined =>
  ranges.find(
    ({ subnet, first, last, gateway }) =>
      contains(subnet, address) &&
      numberOf(first) <= numberOf(address) &&
      numberOf(address) <= numberOf(last) &&
      address !== gateway,
  );

function describe(ranges: readonly AddressRange[], address: Address | undefined): ChosenAddress {
  const range = address === undefined ? undefined : rangeOf(ranges, address);
  if (address === undefined || range === undefined) return exhausted(ranges);
  return { address: { address, length: lengthOf(range.subnet) }, gateway: range.gateway };
}

function exhausted(ranges: readonly AddressRange[]): never {
  const written = ranges.map(({ first, last }) => `${first} to ${last}`).join(", ");
  throw new TwillError("exhausted", `all addresses of ${written} are in use or were a moment ago`, {
    operation: "assign address",
    remedy: "delete pods of this network, or widen its ipam ranges",
  });
}

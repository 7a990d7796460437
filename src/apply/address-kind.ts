import { familyOf } from "../base/address.ts";
import { addressKey, type DesiredAddress } from "../objects/desired.ts";
import type { DeviceAddress } from "../objects/route.ts";
import type { EntryKind } from "./entry-kind.ts";

/** Addresses of our own tunnel devices. */
export const addressKind: EntryKind<DesiredAddress, DeviceAddress> = {
  name: "address",
  describe: (key) => `address ${key}`,
  desiredKey: addressKey,
  sameDesired: () => true,
  // The kernel makes an IPv6 link-local address by itself when a device comes up. It is nobody's mistake.
  keyOf: (seen, device) =>
    seen.scope === "link" && familyOf(seen.address) === 6 ? undefined : addressKey({ ...seen, device }),
  merge: (_held, seen) => seen,
  without: () => undefined,
  equal: (_desired, held) => held.dadFailed !== true,
  removable: () => true,
  written: (desired, device) => ({ ...wanted(desired, device), permanent: true }),
  add: (desired, device) => ({ op: "address.replace", address: wanted(desired, device) }),
  // An address whose DAD failed stays so when it is replaced.
  change: (desired, device, held) => [
    ...(held === undefined ? [] : [{ op: "address.delete", address: held } as const]),
    { op: "address.replace", address: wanted(desired, device) },
  ],
  remove: (held) => [{ op: "address.delete", address: held }],
};

function wanted(desired: DesiredAddress, device: number): DeviceAddress {
  const { address, length } = desired;
  // Nobody else can have the address on a tunnel without flooding, and DAD would keep it unusable for a second.
  const noDad = familyOf(address) === 6 ? { noDad: true } : {};
  return { device, address, length, scope: "universe", ...noDad };
}

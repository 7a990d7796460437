import { type Address, compareAddresses, familyOf, numberOf, widthOf } from "../../base/address.ts";
import { addressAt, contains, lengthOf, type Prefix, prefixFamily, sizeOf } from "../../base/prefix.ts";
import { type Place, readObject, type Values, wrong } from "../schema.ts";
import { unusableFor } from "../unusable-network.ts";
import { CniError, cniCodes } from "./cni-error.ts";
import { ipamFields, type rangeFields } from "./config-fields.ts";

/** Where the addresses of a network come from that has its own: additional networks, macvlan. */
export interface IpamConfig {
  /** One entry for each address that a pod gets: the ranges to take it from, in order. */
  readonly rangeSets: readonly (readonly AddressRange[])[];
  readonly routes: readonly { readonly dst: Prefix; readonly gw?: Address }[];
}

export interface AddressRange {
  readonly subnet: Prefix;
  /** Inclusive. */
  readonly first: Address;
  readonly last: Address;
  /** Not given out. */
  readonly gateway: Address;
}

type RangeValues = Values<typeof rangeFields>;
type IpamValues = Values<typeof ipamFields>;

/** `overriding`: the runtime's ipRanges, which replace the configuration's. @throws JsonError, CniError 2. */
export function checkIpam(
  values: IpamValues | undefined,
  overriding: IpamValues["ranges"],
  place: Place,
): IpamConfig | undefined {
  if (values === undefined && overriding === undefined) return undefined;
  if (values?.type !== undefined && values.type !== "twill") {
    throw new CniError(cniCodes.unsupportedField, `ipam.type ${JSON.stringify(values.type)} is not supported`, {
      remedy: 'write "twill", or leave type out: the agent gives out the addresses',
    });
  }
  const single = values === undefined || values.subnet === undefined ? [] : [[values]];
  if (overriding === undefined && values !== undefined && values.subnet === undefined) refuseStray(values, place);
  const written = overriding ?? [...single, ...(values?.ranges ?? [])];
  if (written.length === 0 || written.some((set) => set.length === 0)) {
    throw wrong(place, "there is no range of addresses", 'add "subnet": "192.168.7.0/24", or ranges');
  }
  return {
    rangeSets: written.map((set) => set.map((range) => checkRange(range, place))),
    routes: (values?.routes ?? []).map(({ dst, gw }) => checkRoute(dst, gw, place)),
  };
}

function refuseStray(values: RangeValues, place: Place): void {
  for (const name of ["rangeStart", "rangeEnd", "gateway"] as const) {
    if (values[name] !== undefined) {
      throw wrong(readObject(ipamFields, place).at(name), `${name} needs a subnet`, "add subnet beside it");
    }
  }
}

function checkRange(range: RangeValues, place: Place): AddressRange {
  const { subnet } = range;
  if (subnet === undefined) throw wrong(place, "a range has no subnet", 'add "subnet": "192.168.7.0/24"');
  const family = prefixFamily(subnet);
  const reason = unusableFor(subnet);
  if (reason !== undefined) throw wrong(place, `${subnet} cannot be a pod network: ${reason}`, "use another");
  if (lengthOf(subnet) > widthOf(family) - 2) {
    throw wrong(place, `${subnet} is too small`, `use /${widthOf(family) - 2} or wider`);
  }
  // An IPv4 subnet ends with its broadcast address; IPv6 has none (RFC 4291 section 2).
  const highest = addressAt(subnet, sizeOf(subnet) - (family === 4 ? 2n : 1n));
  const lowest = addressAt(subnet, 1n);
  for (const name of ["rangeStart", "rangeEnd", "gateway"] as const) {
    const address = range[name];
    if (address === undefined) continue;
    if (!contains(subnet, address) || !between(lowest, address, highest)) {
      throw wrong(place, `${name} ${address} is not a pod address of ${subnet}`, `use ${lowest} to ${highest}`);
    }
  }
  const first = range.rangeStart ?? lowest;
  const last = range.rangeEnd ?? highest;
  if (numberOf(first) > numberOf(last)) {
    throw wrong(place, `rangeStart ${first} is above rangeEnd ${last}`, "swap them");
  }
  const gateway = range.gateway ?? lowest;
  if (first === last && first === gateway) {
    throw wrong(place, `the only address, ${first}, is the gateway's`, "widen the range");
  }
  return { subnet, first, last, gateway };
}

const between = (low: Address, address: Address, high: Address): boolean =>
  compareAddresses(low, address) <= 0 && compareAddresses(address, high) <= 0;

function checkRoute(dst: Prefix, gw: Address | undefined, place: Place): IpamConfig["routes"][number] {
  if (gw === undefined) return { dst };
  if (familyOf(gw) !== prefixFamily(dst)) {
    throw wrong(place, `the route to ${dst} has the gateway ${gw} of the other family`, "use one family");
  }
  return { dst, gw };
}

import { type Address, addressFromNumber, type Family, familyOf, numberOf, widthOf } from "../../base/address.ts";
import {
  baseOf,
  contains,
  lengthOf,
  type Prefix,
  prefixFamily,
  prefixOf,
  subnetAt,
  subnetCount,
} from "../../base/prefix.ts";
import type { FurtherRange, NetworkRange } from "../../model/network.ts";
import { type Place, readObject, wrong } from "../schema.ts";
import { unusableFor } from "../unusable-network.ts";
import { furtherFields } from "./network-fields.ts";

type NetworkField = "Network" | "IPv6Network";
type LengthField = "SubnetLen" | "IPv6SubnetLen";
type BoundField = "SubnetMin" | "IPv6SubnetMin" | "SubnetMax" | "IPv6SubnetMax";
type RangeField = NetworkField | LengthField | BoundField;

/** The fields of a range as they were read, in net-conf.json itself or in one of its MoreNetworks. */
export interface RangeReading {
  readonly values: Readonly<
    Partial<Record<NetworkField, Prefix | undefined> & Record<LengthField, number | undefined>> &
      Partial<Record<BoundField, Address | undefined>>
  >;
  at(name: RangeField): Place;
  has(name: RangeField): boolean;
}

/** Names and limits of one family's part of net-conf.json. */
interface FamilyRules {
  readonly network: NetworkField;
  readonly length: LengthField;
  readonly min: BoundField;
  readonly max: BoundField;
  readonly usualLength: number;
  /** Longest prefix that still holds four subnets of the longest length. */
  readonly smallestNetwork: number;
  readonly example: string;
  readonly other: "Network" | "IPv6Network";
}

const rules: Readonly<Record<Family, FamilyRules>> = {
  4: {
    network: "Network",
    length: "SubnetLen",
    min: "SubnetMin",
    max: "SubnetMax",
    usualLength: 24,
    smallestNetwork: 28,
    example: "10.244.0.0/16",
    other: "IPv6Network",
  },
  6: {
    network: "IPv6Network",
    length: "IPv6SubnetLen",
    min: "IPv6SubnetMin",
    max: "IPv6SubnetMax",
    usualLength: 64,
    smallestNetwork: 124,
    example: "fd00:10:244::/48",
    other: "Network",
  },
};

/**
 * The subnets of one family that nodes may lease. Flannel's rules: at least four subnets fit, for the first is skipped
 * unless SubnetMin names it (its .0 would look like the network's own address).
 * @throws JsonError naming the field.
 */
export function readRange(family: Family, reading: RangeReading): NetworkRange {
  return readBy(rules[family], family, reading);
}

/** One of MoreNetworks: its fields have the names of IPv4's whatever its family. @throws JsonError naming the field. */
export function readFurtherRange(place: Place): FurtherRange {
  const { values, at, has } = readObject(furtherFields, place, { anyCase: true });
  if (values.Network === undefined) throw wrong(at("Network"), "Network is missing", 'add "Network": "10.245.0.0/16"');
  const family = prefixFamily(values.Network);
  const reading: RangeReading = {
    values,
    at: (name) => at(name as keyof typeof furtherFields),
    has: (name) => has(name as keyof typeof furtherFields),
  };
  const rule = {
    ...rules[family],
    network: "Network",
    length: "SubnetLen",
    min: "SubnetMin",
    max: "SubnetMax",
  } as const;
  return { ...readBy(rule, family, reading), retired: values.Retired };
}

function readBy(rule: FamilyRules, family: Family, reading: RangeReading): NetworkRange {
  const network = readNetwork(family, rule, reading);
  const subnetLength = readLength(rule, network, reading);
  const first = subnetAt(network, subnetLength, 0n);
  const last = subnetAt(network, subnetLength, subnetCount(network, subnetLength) - 1n);
  const subnetMin = readBound(rule.min, network, subnetLength, reading) ?? subnetAt(network, subnetLength, 1n);
  const subnetMax = readBound(rule.max, network, subnetLength, reading) ?? last;
  if (numberOf(baseOf(subnetMin)) > numberOf(baseOf(subnetMax))) {
    const max = baseOf(subnetMax);
    if (!reading.has(rule.min)) {
      const message = `${max} is before ${baseOf(subnetMin)}, the first subnet that is leased without ${rule.min}`;
      throw wrong(reading.at(rule.max), message, `add "${rule.min}": "${baseOf(first)}"`);
    }
    const message = `${baseOf(subnetMin)} is above ${rule.max}, ${max}`;
    throw wrong(reading.at(rule.min), message, `swap them, or use ${rule.min} ${baseOf(first)} to ${max}`);
  }
  return { network, subnetLength, subnetMin, subnetMax };
}

function readNetwork(family: Family, rule: FamilyRules, reading: RangeReading): Prefix {
  const network = reading.values[rule.network];
  const place = reading.at(rule.network);
  const enable = family === 4 ? "EnableIPv4" : "EnableIPv6";
  if (network === undefined) {
    const remedy = `add "${rule.network}": "${rule.example}", or set ${enable} to false`;
    throw wrong(place, `${rule.network} is missing, though IPv${family} is enabled`, remedy);
  }
  if (prefixFamily(network) !== family) {
    const remedy = `write an IPv${family} network, e.g. ${rule.example}; IPv${prefixFamily(network)} networks stand in ${rule.other}`;
    throw wrong(place, `${network} is not an IPv${family} network`, remedy);
  }
  const reason = unusableFor(network);
  if (reason !== undefined) {
    throw wrong(place, `${network} cannot be a pod network: ${reason}`, `use a private one, e.g. ${rule.example}`);
  }
  if (lengthOf(network) > rule.smallestNetwork) {
    const remedy = `use /${rule.smallestNetwork} or wider, e.g. ${prefixOf(baseOf(network), rule.smallestNetwork)}`;
    throw wrong(place, `${network} is too small for four subnets`, remedy);
  }
  return network;
}

function readLength(rule: FamilyRules, network: Prefix, reading: RangeReading): number {
  const smallest = lengthOf(network) + 2;
  const length = reading.values[rule.length];
  if (length === undefined) return Math.max(rule.usualLength, smallest);
  if (length < smallest) {
    const message = `/${length} subnets do not fit into ${network} four times`;
    throw wrong(reading.at(rule.length), message, `use ${smallest} to ${rule.smallestNetwork + 2}`);
  }
  return length;
}

function readBound(
  name: FamilyRules["min"] | FamilyRules["max"],
  network: Prefix,
  subnetLength: number,
  reading: RangeReading,
): Prefix | undefined {
  const address = reading.values[name];
  if (address === undefined) return undefined;
  const place = reading.at(name);
  if (!contains(network, address)) {
    const last = subnetAt(network, subnetLength, subnetCount(network, subnetLength) - 1n);
    throw wrong(place, `${address} is not inside ${network}`, `use ${baseOf(network)} to ${baseOf(last)}`);
  }
  const subnet = prefixOf(address, subnetLength);
  if (baseOf(subnet) !== address) {
    const next = nextSubnet(subnet);
    const either = next !== undefined && contains(network, next) ? `${baseOf(subnet)} or ${next}` : baseOf(subnet);
    throw wrong(place, `${address} is not the start of a /${subnetLength} subnet`, `use ${either}`);
  }
  return subnet;
}

/** First address behind the subnet; undefined at the end of the address space. */
function nextSubnet(subnet: Prefix): Address | undefined {
  const family = familyOf(baseOf(subnet));
  const width = widthOf(family);
  const value = numberOf(baseOf(subnet)) + (1n << BigInt(width - lengthOf(subnet)));
  return value >> BigInt(width) === 0n ? addressFromNumber(family, value) : undefined;
}

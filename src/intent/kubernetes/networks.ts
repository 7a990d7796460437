import { TwillError } from "../../base/errors.ts";
import {
  covers,
  formatInterfaceAddress,
  lengthOf,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
} from "../../base/prefix.ts";
import type { PeerMatch } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { itemsOf, missing, type Reading, readFields, readText, warnAt, withoutProse } from "./reading.ts";

/** A network. Host bits are cleared, as Go's net.ParseCIDR does, and warned of. @throws JsonError. */
export function readNetwork(place: Place, reading: Reading): Prefix {
  const text = readText(place);
  const prefix = tryPrefix(text);
  if (prefix instanceof TwillError) {
    const prose = withoutProse(text, (first) => !(tryPrefix(first) instanceof TwillError));
    throw wrong(place, `${described(place)} is not a network`, prose ?? prefix.remedy ?? "write ADDRESS/LENGTH");
  }
  if (formatInterfaceAddress(parseInterfaceAddress(text)) !== prefix) {
    warnAt(
      reading,
      place,
      `${described(place)} names one address in a network; the whole network is meant`,
      `write ${prefix}`,
    );
  }
  return prefix;
}

function tryPrefix(text: string): Prefix | TwillError {
  try {
    const prefix = parsePrefix(text);
    // RFC 4291 section 2.5.5.2: never on the wire, so a rule with it would do nothing, and IPv4 is meant.
    if (!prefix.startsWith("::ffff:")) return prefix;
    return new TwillError("invalid", "IPv4 in IPv6", { remedy: "write it as IPv4: 10.0.0.0/8" });
  } catch (error) {
    if (error instanceof TwillError) return error;
    throw error;
  }
}

/** IPBlock (networking/v1). Undefined: it has a field of another version, so nobody knows what it leaves out. @throws JsonError. */
export function readIpBlock(place: Place, reading: Reading): PeerMatch | undefined {
  const fields = readFields(place, ["cidr", "except"], reading);
  const cidrPlace = fields.at("cidr");
  if (cidrPlace === undefined) throw missing(fields, "cidr", "add cidr: 10.0.0.0/8");
  const cidr = readNetwork(cidrPlace, reading);
  const exceptPlace = fields.at("except");
  const except =
    exceptPlace === undefined ? [] : itemsOf(exceptPlace).map((item) => readException(item, cidr, reading));
  return fields.unknown.length > 0 ? undefined : { networks: [cidr], except };
}

function readException(place: Place, cidr: Prefix, reading: Reading): Prefix {
  const except = readNetwork(place, reading);
  if (covers(cidr, except) && lengthOf(except) > lengthOf(cidr)) return except;
  throw wrong(place, `${except} is not a part of ${cidr}`, `name a network inside ${cidr}, smaller than it`);
}

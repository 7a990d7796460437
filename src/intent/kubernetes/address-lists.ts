import { type Address, tryAddress } from "../../base/address.ts";
import { described, type Place, wrong } from "../schema.ts";
import { itemsOf, readText } from "./reading.ts";

/** @throws JsonError. */
export function readAddress(place: Place): Address {
  const address = tryAddress(readText(place));
  if (address !== undefined) return address;
  throw wrong(place, `${described(place)} is not an IP address`, "write an address like 10.96.0.10 or fd00::10");
}

/** Absent: none. @throws JsonError. */
export const readAddresses = (place: Place | undefined): readonly Address[] =>
  place === undefined ? [] : [...new Set(itemsOf(place).map(readAddress))];

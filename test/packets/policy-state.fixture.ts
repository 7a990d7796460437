import { parseAddress } from "../../src/base/address.ts";
import type { Direction } from "../../src/model/policy.ts";
import {
  type AddressRow,
  type Decision,
  type NetworkRow,
  type PolicyState,
  type PortRow,
  portKey,
} from "../../src/model/policy-state.ts";

/** A PolicyState by hand, with decisions by their verdicts. */
export interface Wish {
  /** By address: class, ingress group, egress group. */
  readonly addresses: Readonly<Record<string, readonly [number, number, number]>>;
  /** First and last address, class. */
  readonly networks?: readonly (readonly [string, string, number])[];
  /** Group, protocol, first and last port, port class. */
  readonly ports?: readonly (readonly [number, number, number, number, number])[];
  /** By `decisionKey`: "group/class/protocol/port class". */
  readonly decisions: Readonly<Record<string, Decision["verdict"]>>;
}

/** Each decision has a number of its own, from 1 in the order given. */
export function stateOf({ addresses, networks = [], ports = [], decisions }: Wish): PolicyState {
  const rows = new Map(
    Object.entries(addresses).map(([address, [of, ingress, egress]]): [ReturnType<typeof parseAddress>, AddressRow] => [
      parseAddress(address),
      { class: of, ingress, egress },
    ]),
  );
  const egress = new Set([...rows.values()].map((row) => row.egress));
  const entries = Object.entries(decisions);
  const directionOf = (key: string): Direction => (egress.has(Number(key.split("/")[0])) ? "egress" : "ingress");
  return {
    addresses: rows,
    networks: networks.map(
      ([first, last, of]): NetworkRow => ({ first: parseAddress(first), last: parseAddress(last), class: of }),
    ),
    ports: new Map(
      ports.map(([group, protocol, first, last, of]): [string, PortRow] => [
        portKey(group, protocol, first),
        { group, protocol, first, last, class: of },
      ]),
    ),
    decisions: new Map(entries.map(([key], index) => [key, index + 1])),
    verdicts: new Map(
      entries.map(([key, verdict], index): [number, Decision] => [
        index + 1,
        {
          direction: directionOf(key),
          verdict,
          log: false,
          reason: { by: "rule", policy: { kind: "NetworkPolicy", namespace: "test", name: key }, rule: 0 },
        },
      ]),
    ),
  };
}

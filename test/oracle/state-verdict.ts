import { type Address, compareAddresses, familyOf } from "../../src/base/address.ts";
import {
  type AddressRow,
  type Decision,
  decisionKey,
  ownNodeClass,
  type PolicyState,
} from "../../src/model/policy-state.ts";

/** A packet as one node's tables are asked for it. */
export interface StatePacket {
  readonly source: Address;
  readonly destination: Address;
  /** IANA number. */
  readonly protocol: number;
  /** Destination port, or type × 256 + code. */
  readonly port: number;
  /** To the node itself, by one of its addresses. */
  readonly toNode: boolean;
}

/** What a node's tables say, by src/model/policy-state.ts alone: the order in which rows are asked stands there. */
export interface StateVerdict {
  readonly egress?: Decision;
  readonly ingress?: Decision;
}

export function askState(state: PolicyState, packet: StatePacket): StateVerdict {
  const [source, destination] = [state.addresses.get(packet.source), state.addresses.get(packet.destination)];
  const egress = decide(state, packet, source?.egress ?? 0, destinationClass(state, packet, destination));
  const ingress = decide(
    state,
    packet,
    destination?.ingress ?? 0,
    source?.class ?? classInNetworks(state, packet.source),
  );
  return { ...(egress === undefined ? {} : { egress }), ...(ingress === undefined ? {} : { ingress }) };
}

const destinationClass = (
  state: PolicyState,
  { destination, toNode }: StatePacket,
  row: AddressRow | undefined,
): number => row?.class ?? (toNode ? ownNodeClass : classInNetworks(state, destination));

function classInNetworks({ networks }: PolicyState, address: Address): number {
  const row = networks.find(
    ({ first, last }) =>
      familyOf(first) === familyOf(address) &&
      compareAddresses(first, address) <= 0 &&
      compareAddresses(address, last) <= 0,
  );
  return row?.class ?? 0;
}

function decide(state: PolicyState, { protocol, port }: StatePacket, group: number, of: number): Decision | undefined {
  if (group === 0) return undefined;
  const row = [...state.ports.values()].find(
    (one) => one.group === group && one.protocol === protocol && one.first <= port && port <= one.last,
  );
  const portClass = row?.class ?? 0;
  const keys = [
    decisionKey(group, of, protocol, portClass),
    decisionKey(group, of, 0, 0),
    decisionKey(group, 0, protocol, portClass),
    decisionKey(group, 0, 0, 0),
  ];
  for (const key of keys) {
    const number = state.decisions.get(key);
    if (number === undefined) continue;
    const decision = state.verdicts.get(number);
    if (decision === undefined) throw new Error(`decision ${number} of row ${key} is not in verdicts`);
    return decision;
  }
  throw new Error(`group ${group} has no row for everything`);
}

import { type Address, compareAddresses } from "../../base/address.ts";
import type { Direction } from "../../model/policy.ts";
import {
  type AddressRow,
  type ClassNumber,
  type Decision,
  type DecisionKey,
  type DecisionNumber,
  decisionKey,
  type GroupNumber,
  type NetworkRow,
  outsideClass,
  ownNodeClass,
  type PolicyState,
  type PortClass,
  type PortRow,
  portKey,
} from "../../model/policy-state.ts";
import { type Exempt, type Flow, type Hook, isNeighbourDiscovery } from "./flow.ts";

/** What the tables say of a flow, and the rows that say it. */
export interface TableVerdict {
  readonly verdict: "allow" | "deny";
  readonly exempt?: Exempt;
  /** Absent: no endpoint of this node at that end, or nothing to decide for it. */
  readonly egress?: TableLookup;
  /** Absent, too, when egress denies: then nobody asks. */
  readonly ingress?: TableLookup;
}

export interface TableLookup {
  readonly direction: Direction;
  readonly group: GroupNumber;
  readonly class: ClassNumber;
  readonly portClass: PortClass;
  readonly key: DecisionKey;
  readonly number: DecisionNumber;
  readonly decision: Decision;
}

/** Looks a flow up in the tables as the kernel does. @param hook of the node whose tables they are. */
export function verdictOf(state: PolicyState, flow: Flow, hook: Hook = "forward"): TableVerdict {
  if (hook === "output") return { verdict: "allow", exempt: "own-node" };
  if (flow.source === flow.destination) return { verdict: "allow", exempt: "itself" };
  if (isNeighbourDiscovery(flow)) return { verdict: "allow", exempt: "neighbour-discovery" };
  const source = state.addresses.get(flow.source);
  const destination = state.addresses.get(flow.destination);
  const egress = lookUp(state, "egress", source?.egress ?? 0, classOf(state, flow.destination, hook), flow);
  if (egress?.decision.verdict === "deny" || hook === "input") {
    return { verdict: egress?.decision.verdict ?? "allow", ...(egress === undefined ? {} : { egress }) };
  }
  const ingress = lookUp(state, "ingress", destination?.ingress ?? 0, classOf(state, flow.source, "forward"), flow);
  return {
    verdict: ingress?.decision.verdict ?? "allow",
    ...(egress === undefined ? {} : { egress }),
    ...(ingress === undefined ? {} : { ingress }),
  };
}

/** @param hook `input`: the address is the node's own, whether it has a row or not. */
export function classOf(state: PolicyState, address: Address, hook: Hook): ClassNumber {
  const row: AddressRow | undefined = state.addresses.get(address);
  if (row !== undefined) return row.class;
  return hook === "input" ? ownNodeClass : (networkOf(state.networks, address)?.class ?? outsideClass);
}

export function networkOf(networks: readonly NetworkRow[], address: Address): NetworkRow | undefined {
  let [low, high] = [0, networks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = networks[middle];
    if (row !== undefined && compareAddresses(row.last, address) < 0) low = middle + 1;
    else high = middle;
  }
  const row = networks[low];
  return row !== undefined && compareAddresses(row.first, address) <= 0 ? row : undefined;
}

function lookUp(
  state: PolicyState,
  direction: Direction,
  group: GroupNumber,
  of: ClassNumber,
  { protocol, port }: Flow,
): TableLookup | undefined {
  if (group === 0) return undefined;
  const portClass = portClassOf(state.ports, group, protocol, port);
  const keys = [
    decisionKey(group, of, protocol, portClass),
    decisionKey(group, of, 0, 0),
    decisionKey(group, outsideClass, protocol, portClass),
    decisionKey(group, outsideClass, 0, 0),
  ];
  for (const key of keys) {
    const number = state.decisions.get(key);
    const decision = number === undefined ? undefined : state.verdicts.get(number);
    if (number !== undefined && decision !== undefined) {
      return { direction, group, class: of, portClass, key, number, decision };
    }
  }
  return undefined;
}

function portClassOf(ports: PolicyState["ports"], group: GroupNumber, protocol: number, port: number): PortClass {
  const exact = ports.get(portKey(group, protocol, port));
  if (exact !== undefined) return exact.class;
  for (const row of rangesOf(ports, group, protocol)) if (row.first <= port && port <= row.last) return row.class;
  return 0;
}

function* rangesOf(ports: PolicyState["ports"], group: GroupNumber, protocol: number): Iterable<PortRow> {
  for (const row of ports.values()) {
    if (row.group === group && row.protocol === protocol && row.first !== row.last) yield row;
  }
}

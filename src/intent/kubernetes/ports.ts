import { protocols, type TrafficMatch } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { type Reading, readFields, readInteger, readWord, withoutProse } from "./reading.ts";

export const HIGHEST_PORT = 65_535;

/** RFC 6335 section 5.1, as the API server checks names of ports. */
export const isPortName = (name: string): boolean =>
  name.length <= 15 && /^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name) && /[a-z]/.test(name);

export const transports = ["TCP", "UDP", "SCTP"] as const;
export type Transport = (typeof transports)[number];
export const protocolOf: Readonly<Record<Transport, number>> = {
  TCP: protocols.tcp,
  UDP: protocols.udp,
  SCTP: protocols.sctp,
};

/** @throws JsonError. */
export const readPortNumber = (place: Place): number => readInteger(place, 1, HIGHEST_PORT);

/** @throws JsonError. */
export function readPortName(place: Place): string {
  const { node } = place;
  if (node.kind === "string" && isPortName(node.value)) return node.value;
  const digits = node.kind === "string" && /^\d+$/.test(node.value.trim());
  const prose =
    node.kind === "string" ? withoutProse(node.value, (first) => isPortName(first) || /^\d+$/.test(first)) : undefined;
  const remedy = digits ? `write ${described(place).replace(/\D/g, "")} without quotes` : prose;
  const form =
    "write a number from 1 to 65535, or a container port's name: at most 15 lower-case letters, digits and -";
  throw wrong(place, `${described(place)} is not a port`, remedy ?? form);
}

/** NetworkPolicyPort (networking/v1): protocol, TCP when absent, and port by number, range or name. @throws JsonError. */
export function readNetworkPolicyPort(place: Place, reading: Reading): TrafficMatch | undefined {
  const fields = readFields(place, ["protocol", "port", "endPort"], reading);
  const protocolPlace = fields.at("protocol");
  const protocol = protocolOf[protocolPlace === undefined ? "TCP" : readWord(protocolPlace, transports)];
  const port = fields.at("port");
  const end = fields.at("endPort");
  const first = port?.node.kind === "number" ? readPortNumber(port) : undefined;
  const portName = port === undefined || first !== undefined ? undefined : readPortName(port);
  if (end !== undefined && first === undefined) {
    throw wrong(end, "endPort needs a port by number", "add port: with the first number of the range");
  }
  const last = end === undefined ? first : readPortNumber(end);
  if (end !== undefined && first !== undefined && last !== undefined && last < first) {
    throw wrong(end, `the range ends at ${last}, before its port ${first}`, `use ${first} to ${HIGHEST_PORT}`);
  }
  if (fields.unknown.length > 0) return undefined;
  if (portName !== undefined) return { protocol, portName };
  return first === undefined || last === undefined ? { protocol } : { protocol, ports: { first, last } };
}

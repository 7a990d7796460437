import { type NamedPort, type PortRange, portProtocols, protocols, type TrafficMatch } from "../../model/policy.ts";

/**
 * Protocol and destination ports, inclusive; for ICMP and ICMPv6 type × 256 + code. `fact`: only if the peer has it.
 */
export interface PortMatch {
  /** IANA number; undefined: all protocols, whatever `ports`. */
  readonly protocol: number | undefined;
  /** Undefined: all of the protocol. */
  readonly ports?: PortRange;
  readonly namedPort?: NamedPort | "unknown";
}

/** Where a port's name leads: the endpoint's own ports, or those of all peers there are. */
export interface PortNames {
  /** `peer`: it differs from peer to peer, so the match asks for the peer's port too. */
  readonly of: "own" | "peer";
  byName(name: string): readonly NamedPort[];
}

/**
 * What a traffic match stands for.
 * @returns undefined: it asks for what no packet can tell (ports of a protocol without ports, numbers outside of their range).
 */
export function portMatches(match: TrafficMatch, names: PortNames): readonly PortMatch[] | undefined {
  if (match.protocol !== undefined && !isWhole(match.protocol, 1, 255)) return undefined;
  if ("portName" in match) {
    const { protocol, portName } = match;
    const named = names
      .byName(portName)
      .filter((port) => isWhole(port.port, 0, 65535) && (protocol === undefined || port.protocol === protocol));
    const found = named.map((port): PortMatch => {
      const ports = { first: port.port, last: port.port };
      return { protocol: port.protocol, ports, ...(names.of === "peer" ? { namedPort: port } : {}) };
    });
    return names.of === "own" ? found : [...found, { protocol, namedPort: "unknown" }];
  }
  if ("icmpType" in match) {
    const { protocol, icmpType, icmpCode } = match;
    if (protocol !== protocols.icmp && protocol !== protocols.icmpv6) return undefined;
    if (!isWhole(icmpType, 0, 255) || (icmpCode !== undefined && !isWhole(icmpCode, 0, 255))) return undefined;
    const first = icmpType * 256 + (icmpCode ?? 0);
    return [{ protocol, ports: { first, last: icmpCode === undefined ? first + 255 : first } }];
  }
  if ("ports" in match) {
    const { protocol, ports } = match;
    if (!portProtocols.includes(protocol) || !isRange(ports)) return undefined;
    return [{ protocol, ports }];
  }
  return [{ protocol: match.protocol }];
}

const isRange = ({ first, last }: PortRange): boolean => isWhole(first, 0, last) && isWhole(last, first, 65535);
const isWhole = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;

import { tryAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { type NamedPort, protocols } from "../../model/policy.ts";
import type { End } from "./end.ts";

/** Where to, as a person writes it. */
export interface Target {
  readonly host: string;
  /** A number or a name. Absent: an ICMP echo. */
  readonly port?: string;
  readonly protocol?: "tcp" | "udp" | "sctp" | "icmp";
}

/** "shop/web:80", "10.1.1.1:53/udp", "[fd00::1]:80", "web:http", "web/icmp" and "web" (an echo). @throws TwillError `invalid`. */
export function parseTarget(text: string): Target {
  const [, rest = text, word] = /^(.+)\/(tcp|udp|sctp|icmp)$/i.exec(text) ?? [];
  const protocol = (["tcp", "udp", "sctp", "icmp"] as const).find((known) => known === word?.toLowerCase());
  const of = protocol === undefined ? {} : { protocol };
  const bracketed = /^\[(.+)\](?::(.+))?$/.exec(rest);
  const plain = tryAddress(rest) === undefined ? /^([^:]+)(?::(.+))?$/.exec(rest) : undefined;
  const [, host = rest, port] = bracketed ?? plain ?? [];
  if (port === undefined && protocol !== undefined && protocol !== "icmp") {
    throw new TwillError("invalid", `which ${protocol.toUpperCase()} port?`, {
      remedy: `write ${host}:PORT/${protocol}`,
    });
  }
  return { host, ...(port === undefined ? {} : { port }), ...of };
}

export interface ResolvedPort {
  readonly protocol: number;
  readonly port: number;
}

/** What goes over the wire towards `to`. @param source decides ICMP or ICMPv6. @throws TwillError `invalid`, `not-found`. */
export function resolvePort({ port, protocol }: Target, to: End, family: 4 | 6): ResolvedPort {
  if (port === undefined) {
    return family === 4 ? { protocol: protocols.icmp, port: 8 * 256 } : { protocol: protocols.icmpv6, port: 128 * 256 };
  }
  if (protocol === "icmp") throw new TwillError("invalid", "ICMP has no ports", { remedy: "leave the port away" });
  const number = /^\d{1,5}$/.test(port) ? Number(port) : undefined;
  if (number !== undefined) {
    if (number < 1 || number > 65_535)
      throw new TwillError("invalid", `"${port}" is not a port`, { remedy: "use 1 to 65535" });
    return { protocol: protocols[protocol ?? "tcp"], port: number };
  }
  const ports: readonly NamedPort[] = to.kind === "pod" ? to.pod.ports : [];
  const named = ports.filter(
    (one) => one.name === port && (protocol === undefined || one.protocol === protocols[protocol]),
  );
  const [first] = named;
  if (first !== undefined) return { protocol: first.protocol, port: first.port };
  const known = [...new Set(ports.map(({ name }) => name))];
  throw new TwillError("not-found", `${to.name} has no port called ${port}`, {
    remedy: known.length === 0 ? "give the port's number" : `it has ${known.join(", ")}`,
  });
}

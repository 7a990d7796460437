import type { Connection } from "../../objects/conntrack.ts";
import { readPacket } from "../../wire/packet.ts";
import type { Sighting } from "./aggregate.ts";

/** What is seen on the wire or in a connection; who decided is added by who knows. */
export type Seen = Omit<Sighting, "verdict" | "time" | "egress" | "ingress" | "obstacle">;

/** @param bytes from the IP header on. undefined: not IP, or cut before its addresses end. */
export function seenPacket(bytes: Uint8Array): Seen | undefined {
  const packet = readPacket(bytes);
  if (packet === undefined) return undefined;
  const { source, destination, protocol, destinationPort, icmp } = packet;
  return {
    source,
    destination,
    protocol,
    ...(destinationPort === undefined ? {} : { port: destinationPort }),
    ...(icmp === undefined ? {} : { icmp: { type: icmp.type, code: icmp.code } }),
  };
}

/** As policy saw it: behind destination NAT, so the other end is who replies, and before source NAT, so the sender is who sent. */
export function seenConnection({ original, reply }: Connection): Seen {
  const { source, destination, protocol, destinationPort, icmp } = original;
  const isTranslated = reply.source !== destination || (reply.sourcePort ?? 0) !== (destinationPort ?? 0);
  const port = reply.sourcePort ?? destinationPort;
  return {
    source,
    destination: reply.source,
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(icmp === undefined ? {} : { icmp: { type: icmp.type, code: icmp.code } }),
    ...(isTranslated
      ? { service: { address: destination, ...(destinationPort === undefined ? {} : { port: destinationPort }) } }
      : {}),
  };
}

import { createSocket, type Socket } from "node:dgram";
import { type Address, type Family, familyOf, tryAddress } from "../../base/address.ts";
import type { Log } from "../../base/log.ts";

export interface PeerTransport {
  /** Never throws: a datagram that cannot leave is a lost one. */
  send(bytes: Uint8Array, to: Address, port: number): void;
  close(): void;
}

export type DatagramListener = (bytes: Uint8Array, from: Address, port: number) => void;

/**
 * One UDP socket a family on the given port, of the namespace this process is in. Bound to all addresses, because the kernel
 * then takes the source by route: what goes through the tunnel leaves with the tunnel's address, and so comes back through it.
 */
export function udpTransport(
  port: number,
  families: readonly Family[],
  listener: DatagramListener,
  log: Log,
): PeerTransport {
  const sockets = new Map<Family, Socket>();
  for (const family of families) {
    const socket = createSocket(family === 4 ? { type: "udp4" } : { type: "udp6", ipv6Only: true });
    socket.on("message", (bytes, from) => {
      const address = tryAddress(from.address.replace(/%.*$/, ""));
      if (address !== undefined) listener(bytes, address, from.port);
    });
    socket.on("error", (error) => log.debug("peer socket", { family, error }));
    socket.bind(port);
    socket.unref();
    sockets.set(family, socket);
  }
  return {
    send: (bytes, to, toPort) => {
      try {
        sockets.get(familyOf(to))?.send(bytes, toPort, to, (error) => {
          if (error) log.debug("probe not sent", { to, error });
        });
      } catch (error) {
        log.debug("probe not sent", { to, error });
      }
    },
    close: () => {
      for (const socket of sockets.values()) socket.close();
    },
  };
}

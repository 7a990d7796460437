import { type Address, type Family, familyOf } from "../base/address.ts";
import { EHOSTUNREACH } from "./errno.ts";
import { closeFile } from "./file.ts";
import { encodeSockaddr } from "./sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  getOption,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SOCK_DGRAM,
  SOL_SOCKET,
  setOption,
  tryConnect,
  trySend,
} from "./socket.ts";

/** Whether a machine's kernel is there: it answers, or who routes to it says that nobody has its address. */
export type Presence = "there" | "nobody";

/** Asks one machine, without any privilege. */
export interface PresenceSocket {
  /** What cannot be sent now is not sent. */
  ask(): void;
  /** What was heard since the last call; undefined: nothing, which says nothing. */
  heard(): Presence | undefined;
  close(): void;
}

/** Discard, RFC 863: nobody listens there, and a kernel without a firewall says so at once. */
const discardPort = 9;
const families = { 4: AF_INET, 6: AF_INET6 } as const;
/** IP_RECVERR and IPV6_RECVERR, include/uapi/linux/in.h and in6.h. */
const receiveErrors = { 4: { level: 0, option: 11 }, 6: { level: 41, option: 25 } } as const;

/**
 * Two datagrams to a port where nobody listens, and what ICMP says of them. "Host unreachable" is told only to a socket that
 * asks for all errors; what a firewall says ("prohibited") is the same errno, and told to any (icmp_err_convert,
 * net/ipv4/icmp.c: only the latter are fatal). So one socket of each kind tells the two apart.
 */
export function openPresenceSocket(address: Address): PresenceSocket {
  const family = familyOf(address);
  const target = encodeSockaddr(address, discardPort);
  const sockets = [open(family, target, false), open(family, target, true)] as const;
  const errorOf = (fd: number): number => getOption(fd, SOL_SOCKET, SO_ERROR);
  return {
    ask() {
      for (const fd of sockets) trySend(fd, new Uint8Array(1), MSG_DONTWAIT);
    },
    heard() {
      const [fatal, any] = sockets.map(errorOf);
      if (fatal !== 0) return "there";
      if (any === 0) return undefined;
      return any === EHOSTUNREACH ? "nobody" : "there";
    },
    close() {
      for (const fd of sockets) closeFile(fd);
    },
  };
}

function open(family: Family, target: Uint8Array, allErrors: boolean): number {
  const fd = openSocket(families[family], SOCK_DGRAM, 0, { nonBlocking: true });
  const { level, option } = receiveErrors[family];
  if (allErrors) setOption(fd, level, option, 1);
  // Without a route at all it stays unconnected, and says nothing.
  tryConnect(fd, target);
  return fd;
}

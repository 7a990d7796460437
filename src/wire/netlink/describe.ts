export type Direction = "in" | "out";

type Trace = (direction: Direction, protocol: number, datagram: Uint8Array) => void;

let trace: Trace | undefined;

/** Hands each datagram of every netlink socket of this process to `to`; undefined switches it off. */
export function setNetlinkTrace(to: Trace | undefined): void {
  trace = to;
}

/** Called by the sockets. Costs one comparison while nobody listens. */
export function traceNetlink(direction: Direction, protocol: number, datagram: Uint8Array): void {
  trace?.(direction, protocol, datagram);
}

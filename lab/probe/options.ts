import type { Family } from "../../src/base/address.ts";
import { getOption, setOption, setTimeouts } from "../../src/kernel/socket.ts";

/** Protocol levels and options of include/uapi/linux/in.h and in6.h. */
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
/** Never fragment here, refuse what is larger than the path MTU known so far. */
const PMTUDISC_DO = 2;

export function dontFragment(fd: number, family: Family): void {
  if (family === 4) setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO);
  else setOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO);
}

/** What the kernel believes of the path of a connected socket, bytes. */
export const knownMtu = (fd: number, family: Family): number =>
  family === 4 ? getOption(fd, IPPROTO_IP, IP_MTU) : getOption(fd, IPPROTO_IPV6, IPV6_MTU);

/** IP and UDP headers, bytes. */
export const udpOverhead: Readonly<Record<Family, number>> = { 4: 28, 6: 48 };

/** Between two namespaces of one machine an answer that takes this long does not come. Milliseconds. */
const patience = 60;
export const waitAtMost = (fd: number): void => setTimeouts(fd, patience);

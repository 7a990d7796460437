import type { Address, Family } from "../base/address.ts";
import { familyOf } from "../base/address.ts";
import { decodeEchoOutcome, encodeEchoRequest } from "../wire/icmp.ts";
import { closeFile } from "./file.ts";
import { decodeSockaddr, encodeSockaddr } from "./sockaddr.ts";
import { AF_INET, AF_INET6, MSG_DONTWAIT, openSocket, SOCK_RAW, tryReceiveFrom, trySend } from "./socket.ts";

/** Whether a machine's kernel is there: it answers, or who routes to it says that nobody has its address. */
export type Presence = "there" | "nobody";

export interface EchoSocket {
  /** Asks. What cannot be sent now is not sent. */
  ask(address: Address): void;
  /** All that came since the last call. */
  answers(): readonly { readonly address: Address; readonly presence: Presence }[];
  close(): void;
}

/** include/uapi/linux/in.h and in6.h. */
const protocols = { 4: 1, 6: 58 } as const;
const families = { 4: AF_INET, 6: AF_INET6 } as const;

/** ICMP echo, in the network namespace in which it is first used. Needs CAP_NET_RAW. @param identifier tells our answers from others'. */
export function openEchoSocket(identifier: number): EchoSocket {
  const sockets = new Map<Family, number>();
  const buffer = new Uint8Array(1500);
  const from = new Uint8Array(28);
  const fromLength = new Uint32Array(1);
  let sequence = 0;

  const socketOf = (family: Family): number => {
    const open = sockets.get(family);
    if (open !== undefined) return open;
    const fd = openSocket(families[family], SOCK_RAW, protocols[family], { nonBlocking: true });
    sockets.set(family, fd);
    return fd;
  };
  const receive = (family: Family, fd: number): { address: Address; presence: Presence }[] => {
    const found: { address: Address; presence: Presence }[] = [];
    for (;;) {
      const length = tryReceiveFrom(fd, buffer, MSG_DONTWAIT, from, fromLength);
      if (length < 0) return found;
      const outcome = decodeEchoOutcome(family, buffer.subarray(0, length));
      if (outcome?.identifier !== identifier) continue;
      if (outcome.type === "unreachable") found.push({ address: outcome.target, presence: "nobody" });
      else found.push({ address: decodeSockaddr(from.subarray(0, fromLength[0])).address, presence: "there" });
    }
  };
  return {
    ask(address) {
      const family = familyOf(address);
      sequence = (sequence + 1) & 0xffff;
      trySend(
        socketOf(family),
        encodeEchoRequest(family, identifier, sequence),
        MSG_DONTWAIT,
        encodeSockaddr(address, 0),
      );
    },
    answers: () => [...sockets].flatMap(([family, fd]) => receive(family, fd)),
    close() {
      for (const fd of sockets.values()) closeFile(fd);
      sockets.clear();
    },
  };
}

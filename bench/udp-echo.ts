/** Sends every datagram back, until it is killed: `bun bench/udp-echo.ts PORT`. Blocking calls only, no event loop. */

import { parseAddress } from "../src/base/address.ts";
import { encodeSockaddr } from "../src/kernel/sockaddr.ts";
import { AF_INET, bindSocket, openSocket, SOCK_DGRAM, tryReceiveFrom, trySend } from "../src/kernel/socket.ts";
import { onFirstProcessor } from "./affinity.ts";

const fd = openSocket(AF_INET, SOCK_DGRAM, 0);
bindSocket(fd, encodeSockaddr(parseAddress("0.0.0.0"), Number(process.argv[2])));
const buffer = new Uint8Array(2048);
const from = new Uint8Array(16);
const fromLength = new Uint32Array(1);
onFirstProcessor(() => {
  for (;;) {
    const length = tryReceiveFrom(fd, buffer, 0, from, fromLength);
    if (length > 0) trySend(fd, buffer.subarray(0, length), 0, from);
  }
});

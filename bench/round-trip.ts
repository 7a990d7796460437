import { join } from "node:path";
import { parseAddress } from "../src/base/address.ts";
import { closeFile } from "../src/kernel/file.ts";
import { encodeSockaddr } from "../src/kernel/sockaddr.ts";
import { AF_INET, openSocket, SOCK_DGRAM, setTimeouts, tryConnect, tryReceive, trySend } from "../src/kernel/socket.ts";
import { onFirstProcessor } from "./affinity.ts";
import type { Namespace } from "./namespace.ts";

const port = 7007;

/** One datagram there and back at a time, between two processes that block in the kernel meanwhile. */
export class RoundTrip {
  readonly #echo: Bun.Subprocess;
  readonly #fd: number;
  readonly #datagram = new Uint8Array(64);
  readonly #buffer = new Uint8Array(2048);

  constructor(from: Namespace, to: Namespace, address: string) {
    this.#echo = to.start(`${process.execPath} ${join(import.meta.dir, "udp-echo.ts")} ${port}`);
    this.#fd = from.enter(() => openSocket(AF_INET, SOCK_DGRAM, 0));
    tryConnect(this.#fd, encodeSockaddr(parseAddress(address), port));
    setTimeouts(this.#fd, 1000);
  }

  /** Until the other side answers. @throws Error after ten seconds. */
  async ready(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      trySend(this.#fd, this.#datagram);
      // Refused while nobody listens, which comes back at once.
      if (tryReceive(this.#fd, this.#buffer) > 0) return;
      await Bun.sleep(50);
    }
    throw new Error("no datagram comes back");
  }

  /** Microseconds each. @throws Error when one is lost. */
  measure(count: number): number[] {
    return onFirstProcessor(() =>
      Array.from({ length: count }, () => {
        const sent = Bun.nanoseconds();
        trySend(this.#fd, this.#datagram);
        if (tryReceive(this.#fd, this.#buffer) <= 0) throw new Error("a datagram did not come back within a second");
        return (Bun.nanoseconds() - sent) / 1000;
      }),
    );
  }

  close(): void {
    this.#echo.kill("SIGKILL");
    closeFile(this.#fd);
  }
}

import { familyOf } from "../../../src/base/address.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
import { POLLIN, PollSet } from "../../../src/kernel/poll.ts";
import { encodeSockaddr } from "../../../src/kernel/sockaddr.ts";
import { AF_INET, AF_INET6, openSocket, SOCK_RAW, trySend } from "../../../src/kernel/socket.ts";
import type { TestNetns } from "../../support/netns.ts";
import type { BareCluster } from "./bare-cluster.ts";
import { Listener } from "./listener.ts";
import { type RawPacket, rawPacket } from "./raw-packet.ts";

/** IPPROTO_RAW: the IP header is the sender's (raw(7)). */
const ownHeader = 255;
/** Milliseconds for packets that should come; what should not has come by then as well. */
const patience = 5_000;

/** A flow to try: who sends decides where, not the packet's source address. */
export type TriedFlow = Omit<RawPacket, "token" | "sourcePort">;

/** Sends first packets from any namespace of a bare cluster, and sees which arrive. */
export class Traffic {
  readonly #cluster: BareCluster;
  readonly #senders = new Map<TestNetns, { readonly 4: number; readonly 6: number }>();
  readonly #listeners: Listener[] = [];
  readonly #poll = new PollSet(512);
  /** In the order of the poll set. */
  readonly #watched: { readonly netns: TestNetns; drain(): number[] }[] = [];
  #token = 1;
  #port = 1;

  constructor(cluster: BareCluster) {
    this.#cluster = cluster;
    const all = [
      cluster.outside,
      ...cluster.nodes.flatMap(({ netns, pods }) => [netns, ...pods.map((pod) => pod.netns)]),
    ];
    for (const netns of all) {
      const open = (domain: number) => openSocket(domain, SOCK_RAW, ownHeader, { nonBlocking: true });
      this.#senders.set(
        netns,
        inNetns(netns.fd, () => ({ 4: open(AF_INET), 6: open(AF_INET6) })),
      );
      const listener = new Listener(netns.fd);
      this.#listeners.push(listener);
      for (const socket of listener.sockets) {
        this.#poll.add(socket.fd, POLLIN);
        this.#watched.push({ netns, drain: () => listener.drain(socket) });
      }
    }
  }

  /**
   * Sends each flow's first packet, all at once. @param expected how many should arrive: the wait ends with them.
   * @returns for each flow whether it did.
   */
  send(flows: readonly TriedFlow[], expected: number): boolean[] {
    this.#received(0);
    const tokens = flows.map((flow) => this.#sendOne(flow));
    const waiting = new Map(tokens.map((token, index) => [token, index]));
    const arrived = flows.map(() => false);
    let count = 0;
    for (const until = Date.now() + patience; ; ) {
      const before = count;
      for (const [netns, token] of this.#received(2)) {
        const index = waiting.get(token);
        const flow = flows[index ?? -1];
        if (index === undefined || flow === undefined || this.#cluster.owner(flow.destination) !== netns) continue;
        if (!arrived[index]) count++;
        arrived[index] = true;
      }
      // Once more after the last: what should not come would come now.
      if ((count >= expected && count === before) || Date.now() > until) return arrived;
    }
  }

  #sendOne(flow: TriedFlow): number {
    // Never with sixteen zero bits behind: so end segments that reset a connection.
    const token = this.#token++ * 0x10000 + 0xbeef;
    const sourcePort = 1024 + (this.#port++ % 60_000);
    const bytes = rawPacket({ ...flow, token: token >>> 0, sourcePort });
    const family = familyOf(flow.source);
    const fd = this.#senders.get(this.#cluster.owner(flow.source))?.[family] ?? -1;
    // With IPPROTO_RAW a port must be 0 (rawv6_sendmsg).
    const result = trySend(fd, bytes, 0, encodeSockaddr(flow.destination, 0));
    if (result < 0 && result !== -EPERM) throw new Error(`${flow.source} to ${flow.destination}: errno ${-result}`);
    return token >>> 0;
  }

  /** What arrives within so many milliseconds, as soon as something does. */
  #received(milliseconds: number): (readonly [TestNetns, number])[] {
    if (this.#poll.wait(milliseconds) <= 0) return [];
    return this.#watched.flatMap(({ netns, drain }, index) =>
      this.#poll.returned(index) === 0 ? [] : drain().map((token) => [netns, token] as const),
    );
  }

  close(): void {
    for (const { 4: four, 6: six } of this.#senders.values()) for (const fd of [four, six]) closeFile(fd);
    for (const listener of this.#listeners) listener.close();
  }
}

/** A packet dropped in the sender's own output hook. */
const EPERM = 1;

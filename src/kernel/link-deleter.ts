import { ptr } from "bun:ffi";
import { ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";
import { decodeAcknowledgement } from "../wire/netlink/acknowledgement.ts";
import { encodeMessage, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR } from "../wire/netlink/message.ts";
import { encodeLinkIndex } from "../wire/rtnetlink/link.ts";
import { encodeGroupDeletion, encodeLinkGroup } from "../wire/rtnetlink/link-group.ts";
import { RTM_DELLINK, RTM_SETLINK } from "../wire/rtnetlink/message-types.ts";
import { EINPROGRESS, ENODEV } from "./errno.ts";
import { libc, systemCall } from "./libc.ts";
import { acknowledgementError, NETLINK_ROUTE, NetlinkSocket } from "./netlink-socket.ts";
import type { Rtnl } from "./rtnl.ts";

/**
 * Deletes links without waiting for the kernel to bury them.
 *
 * RTM_DELLINK takes the device out of all tables within 0.1 ms and releases RTNL, but then keeps its sender for 12 to 20 ms:
 * netdev_run_todo calls rcu_barrier() before the message is answered (measured on 6.18; net/core/dev.c). So the message is
 * written by a thread of the C library (POSIX AIO, aio(7)), and we only wait until the device is gone from sight. Barriers of
 * several threads coincide, so that a hundred deletions in a row take little longer than one.
 *
 * The C library's threads end after a second without work. They belong to the network namespace of the thread that called
 * aio_write: never delete inside `inNetns`, an idle thread would keep the pod's namespace alive.
 */
export class LinkDeleter {
  readonly #rtnl: Rtnl;
  readonly #netns: number | undefined;
  readonly #slots: Slot[] = [];

  /** @param rtnl reads in the namespace whose links are deleted; `netns` is its descriptor, undefined the thread's own. */
  constructor(rtnl: Rtnl, netns: number | undefined) {
    allowThreads();
    this.#rtnl = rtnl;
    this.#netns = netns;
  }

  /** Returns when no namespace shows the link (a veth's peer goes with it), or when there was none. @throws TwillError. */
  delete(index: number): void {
    const slot = this.#idleSlot();
    slot.start(index);
    while (slot.busy()) {
      if (this.#rtnl.link(index) === undefined) return;
      // Still there: the C library's thread has not had a processor yet. On a busy node, asking again and again keeps it from
      // one (50 deletions at once: 580 ms instead of 390).
      libc.usleep(pause);
    }
    slot.finish();
  }

  /**
   * Deletes them in one step, in which the kernel waits for its readers once and not once a link (50 links one after another:
   * 3 ms each on a busy node; together: 5 ms). A beginning, not a promise: what cannot be deleted so is still there when this
   * returns, and `delete` says why.
   */
  deleteTogether(indexes: readonly number[]): void {
    if (indexes.length < 2) return;
    const slot = this.#idleSlot();
    const leaving = slot.startGroup(indexes);
    // They go from sight in the order of their making.
    const last = Math.max(...leaving);
    while (slot.busy()) {
      if (this.#rtnl.link(last) === undefined) return;
      libc.usleep(pause);
    }
    slot.reap();
  }

  /** Waits for what is under way. */
  close(): void {
    for (const slot of this.#slots) slot.close();
    this.#slots.length = 0;
  }

  #idleSlot(): Slot {
    const idle = this.#slots.find((slot) => !slot.busy());
    if (idle !== undefined) {
      idle.reap();
      return idle;
    }
    const [oldest] = this.#slots;
    if (oldest !== undefined && this.#slots.length >= maximumSlots) {
      this.#slots.push(...this.#slots.splice(0, 1));
      oldest.wait();
      oldest.reap();
      return oldest;
    }
    const slot = new Slot(
      NetlinkSocket.open(NETLINK_ROUTE, { ...this.#netnsOption(), ...buffers, name: "link deleter" }),
    );
    this.#slots.push(slot);
    return slot;
  }

  #netnsOption(): { readonly netns?: number } {
    return this.#netns === undefined ? {} : { netns: this.#netns };
  }
}

/** Microseconds; the kernel adds 50 to short sleeps (prctl(2), PR_SET_TIMERSLACK). */
const pause = 100;
/** Deletions under way. On a busy node the barrier takes 60 ms instead of 20, in which a node being drained deletes as many. */
const maximumSlots = 64;
const buffers = { receiveBuffer: 16 * 1024, sendBuffer: 16 * 1024 };

/** struct nlmsghdr, struct ifinfomsg, one attribute of 32 bits. */
const messageLength = 40;
/**
 * The group of links that are being deleted, a number that nobody else uses. A crash may leave a link in it,
 * one whose deletion was asked for; the next deletion of several takes it along.
 */
const leavingGroup = 0x5457494c;

let threadsAllowed = false;

/** glibc's own limit is 20 threads. It counts before the first request only; struct aioinit (aio.h) is eight ints. */
function allowThreads(): void {
  if (threadsAllowed) return;
  threadsAllowed = true;
  const [requests, idleSeconds] = [64, 1];
  libc.aio_init(Int32Array.of(maximumSlots, requests, 0, 0, 0, 0, idleSeconds, 0));
}

/** struct aiocb of glibc (aio.h), 64-bit: x86-64 and arm64 alike. */
const AIOCB_LENGTH = 168;
const AIO_FILDES = 0;
const AIO_BUF = 16;
const AIO_NBYTES = 24;
/** aio_sigevent.sigev_notify, behind an 8-byte sigval and a 4-byte signal number at 32. */
const AIO_NOTIFY = 44;
const SIGEV_NONE = 1;

/**
 * One socket with one deletion under way. A socket each: glibc handles the requests of one descriptor one after another.
 * The arrays live as long as the slot, for the C library's thread reads them behind our back.
 */
class Slot {
  readonly #socket: NetlinkSocket;
  readonly #control = new Uint8Array(AIOCB_LENGTH);
  readonly #message = new Uint8Array(messageLength);
  #index = 0;
  #started = false;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  start(index: number): void {
    this.#start(index, encodeLinkIndex(index));
  }

  /** @returns those that were still there. */
  startGroup(indexes: readonly number[]): readonly number[] {
    const joined = this.#socket.request(
      indexes.map((index) => ({
        type: RTM_SETLINK,
        flags: NLM_F_ACK,
        payload: encodeLinkGroup(index, leavingGroup),
      })),
    );
    const leaving = indexes.filter((_, place) => joined[place]?.error === undefined);
    if (leaving.length > 0) this.#start(0, encodeGroupDeletion(leavingGroup));
    return leaving;
  }

  #start(index: number, payload: Uint8Array): void {
    const writer = new ByteWriter(messageLength);
    const flags = NLM_F_REQUEST | NLM_F_ACK;
    encodeMessage(writer, { type: RTM_DELLINK, flags, sequence: index, port: 0, payload });
    this.#message.set(writer.view());
    const control = new DataView(this.#control.fill(0).buffer);
    control.setInt32(AIO_FILDES, this.#socket.fd, true);
    control.setBigUint64(AIO_BUF, BigInt(ptr(this.#message)), true);
    control.setBigUint64(AIO_NBYTES, BigInt(writer.length), true);
    control.setInt32(AIO_NOTIFY, SIGEV_NONE, true);
    systemCall("aio_write", () => libc.aio_write(this.#control), { operation: "delete link", object: String(index) });
    this.#index = index;
    this.#started = true;
  }

  busy(): boolean {
    return this.#started && libc.aio_error(this.#control) === EINPROGRESS;
  }

  wait(): void {
    while (this.busy()) Bun.sleepSync(1);
  }

  /** After the end: takes the kernel's answer. @throws its refusal, unless there was no such link. */
  finish(): void {
    const errno = libc.aio_error(this.#control);
    libc.aio_return(this.#control);
    this.#started = false;
    const details = { operation: "delete link", object: String(this.#index) };
    if (errno !== 0) throw new TwillError("kernel", "the request could not be sent", { ...details, errno });
    for (const answer of this.#socket.receive() ?? []) {
      if (answer.type !== NLMSG_ERROR || answer.sequence !== this.#index) continue;
      const acknowledgement = decodeAcknowledgement(answer);
      if (acknowledgement.errno !== 0 && acknowledgement.errno !== ENODEV)
        throw acknowledgementError(acknowledgement, details);
    }
  }

  /** After a deletion whose link was seen to go: nothing is left to be told, so what the kernel answered is thrown away. */
  reap(): void {
    if (!this.#started) return;
    libc.aio_return(this.#control);
    this.#started = false;
    this.#socket.drain();
  }

  close(): void {
    this.wait();
    this.reap();
    this.#socket.close();
  }
}

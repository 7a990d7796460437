import type { Family } from "../../src/base/address.ts";
import type { Clock } from "../../src/base/clock.ts";
import { isCode } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Random } from "../../src/base/random.ts";
import type { NodeState, PeerContact, StateChange } from "../../src/model/node-state.ts";
import { decodeKey, encodeKey, makeKey } from "../../src/rpc/peer/key.ts";
import { PeerProber } from "../../src/rpc/peer/prober.ts";
import { udpTransport } from "../../src/rpc/peer/transport.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { PEER_KEY, SECRETS } from "../kinds.ts";

export interface PeersOptions {
  readonly store: Datastore;
  readonly node: string;
  readonly port: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onChange: () => void;
}

/** The prober with what it needs from the cluster: the shared key, and who is there. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #stop = new AbortController();
  #prober: PeerProber | undefined;
  #state: NodeState | undefined;
  #close: (() => void) | undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
    if (options.port !== 0) void this.#start();
  }

  get prober(): PeerProber | undefined {
    return this.#prober;
  }

  /** @param state the whole, live: whoever starts later is told of all in it. */
  change({ own, peers }: StateChange, state: NodeState): void {
    this.#state = state;
    this.#prober?.change(contactsOf(peers), { whole: own !== undefined });
  }

  stop(): void {
    this.#stop.abort();
    this.#close?.();
  }

  async #start(): Promise<void> {
    const { node, port, clock, random, log, onChange } = this.#options;
    const key = await this.#key();
    if (key === undefined) return;
    const families: Family[] = [4, 6];
    const transport = udpTransport(
      port,
      families,
      (bytes, from, fromPort) => this.#prober?.receive(bytes, from, fromPort),
      log,
    );
    this.#close = () => transport.close();
    this.#prober = new PeerProber({ node, key, transport, clock, random, log, onChange });
    if (this.#state !== undefined) this.#prober.change(contactsOf(this.#state.peers), { whole: true });
    await this.#prober.run(this.#stop.signal);
  }

  /** The cluster's key, made by whichever agent is first. undefined: stopped before the datastore answered. */
  async #key(): Promise<Uint8Array | undefined> {
    const { store, random, clock, log } = this.#options;
    for (let pause = 500; !this.#stop.signal.aborted; pause = Math.min(pause * 2, 30_000)) {
      try {
        const stored = await store.get(SECRETS, PEER_KEY);
        if (stored !== undefined) return decodeKey(stored.value);
        await store.create(SECRETS, PEER_KEY, encodeKey(makeKey(random)));
      } catch (error) {
        if (isCode(error, "exists")) continue;
        log.debug("no key for measuring other nodes yet", { error });
        await clock.sleep(pause, this.#stop.signal);
      }
    }
    return undefined;
  }
}

const contactsOf = (peers: StateChange["peers"]): ReadonlyMap<string, PeerContact | undefined> =>
  new Map([...peers].map(([name, peer]) => [name, peer?.contact]));

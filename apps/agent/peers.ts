import { type Address, type Family, familyOf } from "../../src/base/address.ts";
import type { Clock } from "../../src/base/clock.ts";
import { isCode } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import { baseOf } from "../../src/base/prefix.ts";
import type { Random } from "../../src/base/random.ts";
import type { Lease } from "../../src/model/network.ts";
import { decodeKey, encodeKey, makeKey } from "../../src/rpc/peer/key.ts";
import { type Peer, PeerProber } from "../../src/rpc/peer/prober.ts";
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
  #peers: readonly Peer[] = [];
  #close: (() => void) | undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
    if (options.port !== 0) void this.#start();
  }

  get prober(): PeerProber | undefined {
    return this.#prober;
  }

  /** @param tunnel whether nodes have an address inside the pod network (a tunnel device's) that can be measured. */
  setLeases(leases: Iterable<Lease>, tunnel: boolean): void {
    this.#peers = [...leases]
      .filter((lease) => lease.node !== this.#options.node && lease.peerPort !== undefined)
      .flatMap((lease) => peerOf(lease, tunnel));
    this.#prober?.setPeers(this.#peers);
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
    this.#prober.setPeers(this.#peers);
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

function peerOf(lease: Lease, tunnel: boolean): Peer[] {
  const underlay = lease.addresses[0];
  if (underlay === undefined || lease.peerPort === undefined) return [];
  const overlay: Address | undefined = tunnel ? baseOfFamily(lease, familyOf(underlay)) : undefined;
  return [{ name: lease.node, port: lease.peerPort, underlay, ...(overlay === undefined ? {} : { overlay }) }];
}

function baseOfFamily(lease: Lease, family: Family): Address | undefined {
  const subnet = lease.subnets.find((candidate) => familyOf(baseOf(candidate)) === family);
  return subnet === undefined ? undefined : baseOf(subnet);
}

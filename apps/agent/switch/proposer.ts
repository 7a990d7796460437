import type { Clock } from "../../../src/base/clock.ts";
import { isCode, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Random } from "../../../src/base/random.ts";
import { sameNetwork } from "../../../src/intent/flannel/net-conf.ts";
import {
  decodeSwitchTarget,
  encodeSwitchTarget,
  maximumConfigs,
  type SwitchTarget,
} from "../../../src/intent/flannel/switch-target.ts";
import type { ConfigId } from "../../../src/model/live-switch.ts";
import type { ClusterNetwork, Lease } from "../../../src/model/network.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import { type PeerPositions, targetAfter } from "../../../src/switch/protocol.ts";
import { refusals } from "../../../src/switch/refusals.ts";
import { SWITCH, TARGET } from "../../kinds.ts";
import type { HeldPosition } from "./position-file.ts";

export interface ProposerOptions {
  readonly store: Datastore;
  /** The configuration as it is written now. @throws TwillError. */
  readonly readWanted: () => Promise<ClusterNetwork>;
  /** The cluster as this node sees it at the moment. */
  readonly cluster: () => { readonly leases: readonly Lease[]; readonly positions: PeerPositions };
  /** How many there are. */
  readonly nodes: () => number;
  /** The node's own. */
  readonly held: () => HeldPosition | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onChange: () => void;
}

/** A refused configuration is looked at again so often: a node that stood in the way may be gone. */
const againMs = 5_000;
/** Of many agents that see a new configuration, most see the first one's target before it is their turn. Milliseconds a node. */
const turnMs = 2;
const longestTurnMs = 3_000;

/**
 * Makes the configuration that people wrote the cluster's target, if nothing forbids it. Every agent does; the datastore's
 * compare-and-swap lets one win, so none of them has to live.
 */
export class Proposer {
  readonly #options: ProposerOptions;
  readonly #stop = new AbortController();
  #running = false;
  #refused: readonly Problem[] = [];

  constructor(options: ProposerOptions) {
    this.#options = options;
  }

  /** Why the configuration as written is not in force. Empty: it is, or will be. */
  get problems(): readonly Problem[] {
    return this.#refused;
  }

  /** The configuration as written is the target: nothing is to do. */
  settle(): void {
    if (this.#refused.length === 0) return;
    this.#refused = [];
    this.#options.onChange();
  }

  /**
   * The configuration as written, or this node's position, is other than the target. Call it as often as it is so. `inTurn`:
   * every agent sees the same at this moment, so most of them wait whether it is still to be done.
   */
  propose({ inTurn }: { readonly inTurn: boolean }): void {
    if (!this.#running) void this.#run(inTurn);
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(inTurn: boolean): Promise<void> {
    this.#running = true;
    const { clock, random, log, onChange } = this.#options;
    let pause = 0;
    try {
      const turn = inTurn ? Math.min(longestTurnMs, turnMs * this.#options.nodes()) : 0;
      if (turn > 0) await clock.sleep(random.below(turn + 1), this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      const refused = await this.#try();
      const changed = JSON.stringify(refused) !== JSON.stringify(this.#refused);
      if (changed && refused.length > 0) log.warn("the configuration is not in force", { reasons: refused });
      this.#refused = refused;
      pause = refused.length > 0 ? againMs : 100;
      if (changed) onChange();
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      // Somebody else was first: what it wrote comes by the watch.
      if (isCode(error, "denied")) log.warn("no target could be set", { error });
      else if (!isCode(error, "conflict") && !isCode(error, "exists")) log.debug("no target could be set", { error });
      pause = 1_000;
    } finally {
      // Not at once: what was written is on its way back.
      await clock.sleep(pause, this.#stop.signal);
      this.#running = false;
      if (!this.#stop.signal.aborted) onChange();
    }
  }

  async #try(): Promise<readonly Problem[]> {
    const { store, readWanted, held, log } = this.#options;
    const wanted = await readWanted();
    const stored = await store.get(SWITCH, TARGET);
    const own = held();
    if (stored === undefined) {
      const first = this.#first(wanted, own);
      await store.create(SWITCH, TARGET, encodeSwitchTarget(first));
      log.info("the cluster's target is set", { epoch: first.epoch });
      return [];
    }
    const before = decodeSwitchTarget(stored.value, { allowExtension: true });
    const current = networkOf(before, before.id);
    const behind = own !== undefined && own.epoch > before.epoch;
    if (sameNetwork(current, wanted) && !behind) return [];
    const { leases } = this.#options.cluster();
    const reasons = [...before.configs.values()].flatMap((network) => refusals(network, wanted, leases));
    if (reasons.length > 0 && !behind) return unique(reasons);
    const next = this.#next(before, behind ? current : wanted, own);
    if (next.earlier.length >= maximumConfigs) return [tooMany(before)];
    await store.update(SWITCH, TARGET, encodeSwitchTarget(next), stored.revision);
    log.info("the cluster's target is set", { epoch: next.epoch });
    return [];
  }

  /** The datastore knows of no target: a new cluster, or one whose datastore was made anew. */
  #first(wanted: ClusterNetwork, own: HeldPosition | undefined): SwitchTarget {
    const epochs = [...this.#options.cluster().positions.values()].map((position) => position?.epoch ?? 0);
    const none: SwitchTarget = {
      epoch: Math.max(0, own?.epoch ?? 0, ...epochs),
      id: "0",
      earlier: [],
      configs: new Map(),
    };
    const next = this.#next(none, wanted, own);
    const earlier = next.earlier.filter((id) => next.configs.has(id));
    return { ...next, earlier };
  }

  #next(before: SwitchTarget, wanted: ClusterNetwork, own: HeldPosition | undefined): SwitchTarget {
    const known = new Map([...before.configs, ...(own?.configs ?? [])]);
    const same = [...known].find(([, network]) => sameNetwork(network, wanted));
    const id = same?.[0] ?? this.#newId(before.epoch + 1);
    // A node that is ahead of the datastore's target brings what it still uses.
    const ahead = own !== undefined && own.epoch > before.epoch;
    const base = ahead ? { ...before, epoch: own.epoch, earlier: [...before.earlier, ...own.accepts] } : before;
    const { epoch, earlier } = targetAfter(base, id, this.#options.cluster().positions);
    return { epoch, id, earlier, configs: new Map([...known, [id, wanted]]) };
  }

  /** Unique also among targets of a datastore that is gone. */
  #newId(epoch: number): ConfigId {
    return `${epoch}-${Buffer.from(this.#options.random.bytes(2)).toString("hex")}`;
  }
}

function networkOf({ configs }: SwitchTarget, id: ConfigId): ClusterNetwork {
  const network = configs.get(id);
  if (network === undefined) throw new TwillError("corrupt", "the cluster's target names no configuration");
  return network;
}

const unique = (problems: readonly Problem[]): Problem[] => [
  ...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values(),
];

const tooMany = ({ earlier }: SwitchTarget): Problem => ({
  severity: "error",
  subject: "network configuration",
  reason: "Unfinished",
  message: `${earlier.length + 1} earlier changes are not finished, so another cannot begin`,
  remedy: "let the nodes finish that hold them (twill backend status), or delete nodes that are gone",
});

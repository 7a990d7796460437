import type { Advertisement } from "../../../src/backend/backend.ts";
import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError, isCode, type TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Random } from "../../../src/base/random.ts";
import { sameNetwork } from "../../../src/intent/flannel/net-conf.ts";
import { decodeSwitchTarget, type SwitchTarget } from "../../../src/intent/flannel/switch-target.ts";
import type { PresenceSocket } from "../../../src/kernel/presence-socket.ts";
import { type ConfigId, type Position, positionOf, type Standing } from "../../../src/model/live-switch.ts";
import type { ClusterNetwork, Lease } from "../../../src/model/network.ts";
import type { ChangeStatus } from "../../../src/model/status.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import { Reflector, type ReflectorState } from "../../../src/store/reflector.ts";
import type { SnapshotCache } from "../../../src/store/snapshot.ts";
import { describeNetwork } from "../../../src/switch/describe.ts";
import { dropEarlier, nextStep, type PeerPositions, type Step } from "../../../src/switch/protocol.ts";
import { takesPart } from "../../../src/switch/refusals.ts";
import { SWITCH, TARGET } from "../../kinds.ts";
import type { NetworkSource } from "../network-source.ts";
import { named } from "./device-variant.ts";
import { Joining } from "./joining.ts";
import { LateNodes, patienceMs } from "./late-nodes.ts";
import type { HeldPosition, KeptPosition, PositionFile } from "./position-file.ts";
import { Proposer } from "./proposer.ts";

/** The leases as the agent's reflector has them. */
export interface LeaseView {
  readonly state: ReflectorState;
  readonly size: number;
  objects(): ReadonlyMap<string, Lease>;
  get(name: string): Lease | undefined;
}

export interface SwitcherOptions {
  readonly store: Datastore;
  readonly source: NetworkSource;
  readonly leases: LeaseView;
  readonly node: string;
  /** Of this boot of the machine. */
  readonly boot: string;
  readonly file: PositionFile;
  /** The agent runs with --allow-extension-commands. */
  readonly allowExtension: boolean;
  readonly cache: SnapshotCache;
  readonly openPresence: (address: Address) => PresenceSocket;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onChange: () => void;
}

/** By what the node works now. */
export interface InForce {
  readonly id: ConfigId;
  readonly sends: ClusterNetwork;
  readonly receives: readonly ClusterNetwork[];
}

/** What was sent by the old configuration has arrived after that, however long the queues were. */
const underWayMs = 1_000;
/** What an agent finds to be done in its first moments, the others did not see at that same moment: they started at others. */
const startingMs = 10_000;

/**
 * This node's part in a change of the cluster's configuration: which position it takes, when, and what it tells the others.
 * The decisions are src/switch/protocol.ts; here is what they need: views that are fresh enough, the disk, time.
 */
export class Switcher {
  readonly #options: SwitcherOptions;
  readonly #targets: Reflector<SwitchTarget | undefined>;
  readonly #proposer: Proposer;
  readonly #late: LateNodes;
  readonly #startedAt: number;
  #kept: KeptPosition | undefined;
  /** The kernel is known to be at this position. */
  #acknowledged: HeldPosition | undefined;
  /** Undefined: the node has joined. */
  #joining: Joining | undefined;
  #step: Step | undefined;
  #mayDropSince: number | undefined;
  #next = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: Problem | undefined;

  constructor(options: SwitcherOptions) {
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
    const { store, source, file, cache, boot, allowExtension, clock, random, log, onChange, leases } = options;
    try {
      this.#kept = file.load();
    } catch (error) {
      if (!isCode(error, "corrupt")) throw error;
      log.error("the node joins the cluster anew", { error });
    }
    if (this.#kept?.boot !== boot) {
      const nonce = Buffer.from(random.bytes(8)).toString("hex");
      this.#joining = new Joining({ nonce, askEpoch: () => this.#askEpoch(), onChange });
    }
    this.#targets = new Reflector<SwitchTarget | undefined>({
      store,
      kind: SWITCH,
      decode: (value, name) => (name === TARGET ? decodeSwitchTarget(value, { allowExtension }) : undefined),
      clock,
      random,
      log,
      cache,
      onChange,
      onUndecodable: onChange,
    });
    this.#proposer = new Proposer({
      store,
      readWanted: () => source.read(),
      cluster: () => ({ leases: [...leases.objects().values()], positions: this.#positions(true) }),
      nodes: () => leases.size,
      held: () => this.#held,
      clock,
      random,
      log,
      onChange,
    });
    this.#late = new LateNodes({ open: options.openPresence, leaseOf: (name) => leases.get(name), clock, onChange });
  }

  /** Undefined: the node has not joined the cluster yet. */
  get inForce(): InForce | undefined {
    const held = this.#held;
    if (held === undefined || (this.#joining !== undefined && this.#isFresh())) return undefined;
    const sends = held.configs.get(held.sends);
    if (sends === undefined) return undefined;
    const others = held.accepts.filter((id) => id !== held.sends).flatMap((id) => held.configs.get(id) ?? []);
    return { id: held.sends, sends, receives: others };
  }

  /** By what to claim subnets and to find the underlay while the node has not joined. Undefined: it has, or knows nothing. */
  get preview(): ClusterNetwork | undefined {
    const target = this.#target;
    // Where all nodes stand is not to be asked with each news.
    if (target === undefined || this.inForce !== undefined) return undefined;
    const settled = [...this.#positions().values()].every((position) => position?.accepts.includes(target.id) ?? true);
    const [earlier] = target.earlier;
    return target.configs.get(settled ? target.id : (earlier ?? target.id));
  }

  /** The kernel is not known to be at the position yet. */
  get isUnacknowledged(): boolean {
    return this.#acknowledged !== this.#held && this.inForce !== undefined;
  }

  /** Nothing of a change is left to do. */
  get isSettled(): boolean {
    return this.#held?.accepts.length === 1 && !this.isUnacknowledged;
  }

  /** The kernel is at the position. */
  acknowledge(): void {
    this.#acknowledged = this.#held;
  }

  /** What the others may rely on. @param offer what the node says of itself by a configuration. */
  standing(offer: (network: ClusterNetwork) => Advertisement): Standing | undefined {
    if (this.#joining !== undefined && this.#isFresh()) return this.#joining.standing;
    const position = this.#acknowledged;
    if (position === undefined) return this.#options.leases.get(this.#options.node)?.standing;
    const offers = position.accepts.flatMap((id) => {
      const network = position.configs.get(id);
      return network === undefined ? [] : [{ id, ...offer(network) }];
    });
    return { epoch: position.epoch, offers, sends: position.sends };
  }

  /** A peer's lease changed: it is there, whatever was thought of it. */
  heard(name: string): void {
    this.#late.heard(name);
  }

  /** Takes the next step, if there is one. Called with everything that changes, and cheap when nothing is under way. */
  update(): void {
    const target = this.#target;
    this.#watchSource(target);
    if (target === undefined || !this.#isFresh()) return;
    if (this.#joining !== undefined && !this.#joining.mayBegin(this.#published(), target)) return;
    const joining = this.#joining !== undefined;
    if (!joining && this.#isDone(target)) this.#finish();
    else if (!this.#later()) this.#takeStep(target, joining);
  }

  #takeStep(target: SwitchTarget, joining: boolean): void {
    const step = nextStep({
      own: joining ? undefined : this.#held,
      published: this.#published(),
      target,
      peers: this.#positions(),
    });
    this.#step = step;
    const position = this.#dropped(step);
    if (position !== undefined && position !== this.#held && this.#keep(position, target)) this.#joining = undefined;
    this.#late.waitFor(step.waitingFor, `${step.stage} ${target.epoch}`);
    if (step.waitingFor.length > 0) this.#wake(patienceMs);
    if (this.#isDone(target)) this.#finish();
  }

  get problems(): readonly Problem[] {
    const undecodable = this.#targets.undecodable.get(TARGET);
    const wanted = this.#target?.configs.get(this.#target.id);
    return [
      ...(undecodable === undefined ? [] : [unreadable(undecodable)]),
      ...(this.#failure === undefined ? [] : [this.#failure]),
      ...this.#proposer.problems.map((problem) => ({
        ...problem,
        message: `the change is refused: ${problem.message}`,
      })),
      ...this.#stale(),
      ...(wanted === undefined ? [] : this.#late.problems(wanted)),
    ];
  }

  /** Undefined: no change is under way. */
  get status(): ChangeStatus | undefined {
    const [target, held] = [this.#target, this.#held];
    if (target === undefined || held === undefined || (this.#isDone(target) && this.#proposer.problems.length === 0))
      return undefined;
    const name = (id: ConfigId) => {
      const network = held.configs.get(id) ?? target.configs.get(id);
      return network === undefined ? id : describeNetwork(network);
    };
    return {
      epoch: target.epoch,
      to: name(target.id),
      from: held.accepts.filter((id) => id !== target.id).map(name),
      sends: name(held.sends),
      stage: this.#isDone(target) ? "done" : (this.#step?.stage ?? "offer"),
      waitingFor: this.#late.waiting,
      away: [...this.#late.away],
      refused: this.#proposer.problems.map(({ message }) => message),
    };
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#proposer.stop();
    this.#late.stop();
    await this.#targets.close();
  }

  get #held(): HeldPosition | undefined {
    return this.#kept?.held;
  }

  get #target(): SwitchTarget | undefined {
    return this.#targets.get(TARGET);
  }

  /** The leases were listed since the agent started: of a cache nothing is concluded. */
  #isFresh(): boolean {
    const { state } = this.#options.leases;
    return state === "synced" || state === "stale";
  }

  #isDone(target: SwitchTarget): boolean {
    const held = this.#held;
    return held?.epoch === target.epoch && held.accepts.length === 1 && held.sends === target.id;
  }

  #finish(): void {
    this.#step = undefined;
    this.#late.waitFor([], "");
  }

  #watchSource(target: SwitchTarget | undefined): void {
    const wanted = this.#options.source.network;
    const current = target?.configs.get(target.id);
    const behind = (this.#held?.epoch ?? 0) > (target?.epoch ?? 0) && this.#targets.state === "synced";
    if (wanted === undefined || !this.#isFresh()) return;
    if (current !== undefined && sameNetwork(current, wanted) && !behind) {
      this.#options.source.adopted();
      this.#proposer.settle();
    } else if (this.#targets.state === "synced" && (current === undefined || behind || this.#options.source.isMeant)) {
      const age = this.#options.clock.monotonic() - this.#startedAt;
      this.#proposer.propose({ inTurn: age > startingMs });
    }
  }

  async #askEpoch(): Promise<number | undefined> {
    const stored = await this.#options.store.get(SWITCH, TARGET);
    return stored && decodeSwitchTarget(stored.value, { allowExtension: true }).epoch;
  }

  #published(): Position | undefined {
    const standing = this.#options.leases.get(this.#options.node)?.standing;
    return standing === undefined ? undefined : positionOf(standing);
  }

  /** Of the others; with those that are away only where all count. */
  #positions(all = false): PeerPositions {
    const { leases, node } = this.#options;
    const positions = new Map<string, Position | undefined>();
    for (const [name, lease] of leases.objects()) {
      if (name === node || (!all && this.#late.away.has(name))) continue;
      positions.set(name, this.#positionOf(lease));
    }
    if (all && this.#published() !== undefined) positions.set(node, this.#published());
    return positions;
  }

  /** A flanneld does what its lease says and nothing else, now and later. */
  #positionOf(lease: Lease): Position | undefined {
    if (lease.standing !== undefined) return positionOf(lease.standing);
    const target = this.#target;
    if (takesPart(lease) || target === undefined) return undefined;
    const accepts = [...target.configs].filter(([, network]) => runs(lease, network)).map(([id]) => id);
    return { epoch: target.epoch, accepts, sends: accepts[0] ?? "" };
  }

  /** In a large cluster, news come by the thousand: the step is taken for many of them at a time. */
  #later(): boolean {
    const now = this.#options.clock.monotonic();
    if (now < this.#next) {
      this.#wake(this.#next - now);
      return true;
    }
    this.#next = now + this.#options.leases.size / 50;
    return false;
  }

  #dropped({ position, mayDrop }: Step): Position | undefined {
    if (!mayDrop || position === undefined) {
      this.#mayDropSince = undefined;
      return position;
    }
    const now = this.#options.clock.monotonic();
    this.#mayDropSince ??= now;
    const left = this.#mayDropSince + underWayMs - now;
    if (left > 0) {
      this.#wake(left);
      return position;
    }
    this.#mayDropSince = undefined;
    return dropEarlier(position);
  }

  /** @returns whether it is on the disk: only then the kernel may hear of it. */
  #keep(position: Position, target: SwitchTarget): boolean {
    const { file, boot, log } = this.#options;
    const configs = new Map<ConfigId, ClusterNetwork>();
    // What stands keeps its name; what is new takes one beside it.
    const standing = this.#joining === undefined ? this.#held?.configs : undefined;
    for (const id of position.accepts) {
      const network = standing?.get(id);
      if (network !== undefined) configs.set(id, network);
    }
    for (const id of position.accepts) {
      const network = target.configs.get(id);
      if (network !== undefined && !configs.has(id)) configs.set(id, named(network, [...configs.values()]));
    }
    const held: HeldPosition = { ...position, accepts: position.accepts.filter((id) => configs.has(id)), configs };
    try {
      file.save({ boot, held });
    } catch (error) {
      if (!isCode(error, "io")) throw error;
      this.#failure = unkept(error);
      return false;
    }
    this.#failure = undefined;
    this.#kept = { boot, held };
    log.info("position in the cluster's change", {
      epoch: held.epoch,
      stage: this.#step?.stage,
      sends: held.sends,
      accepts: held.accepts.join(),
    });
    return true;
  }

  #wake(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#options.onChange(), Math.max(1, milliseconds));
  }

  /** A file of this node's own that nobody changed, and that says something else than the cluster does. */
  #stale(): readonly Problem[] {
    const { source } = this.#options;
    const [wanted, target] = [source.network, this.#target];
    const current = target?.configs.get(target.id);
    if (wanted === undefined || current === undefined || source.isMeant || sameNetwork(wanted, current)) return [];
    return [
      {
        severity: "warning",
        reason: "StaleFile",
        subject: source.name,
        message: `it says "${describeNetwork(wanted)}", and the cluster works by "${describeNetwork(current)}"`,
        remedy: "bring the file up to date; a change of it is taken for a wish to change the cluster",
      },
    ];
  }
}

function runs({ backendType, backendData }: Lease, { backend }: ClusterNetwork): boolean {
  if (backend.type !== backendType) return false;
  if (backend.type !== "vxlan") return true;
  const data = (backendData[4] ?? backendData[6]) as { readonly VNI?: unknown } | undefined;
  return data?.VNI === undefined || data.VNI === backend.vni;
}

const unreadable = (error: TwillError): Problem => ({
  severity: "error",
  subject: "network configuration",
  message: `the cluster's target cannot be read, so the configuration of before stays in force: ${error.message}`,
  remedy: error.remedy ?? "upgrade this node's Twill",
});

const unkept = (error: unknown): Problem => ({
  severity: "error",
  subject: "network configuration",
  message: `a change of it waits, for this node cannot write down where it stands: ${describeError(error)}`,
  remedy: "make room on the disk of the agent's state directory",
});

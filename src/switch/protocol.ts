import type { ConfigId, Position, Target } from "../model/live-switch.ts";

/** The other nodes as this one sees them: what each published; undefined: it has a lease, and no position yet. */
export type PeerPositions = ReadonlyMap<string, Position | undefined>;

/** The four states of a node: it offers and receives by both; it waits for all to do so; it sends by the new; it drops the old. */
export type Stage = "offer" | "accept" | "send" | "done";

export interface View {
  /** The node's own, as it is on its disk. Undefined: it has none yet. */
  readonly own: Position | undefined;
  /** The node's own, as the others see it. */
  readonly published: Position | undefined;
  readonly target: Target;
  /** Without those that are excused: down, so that no packet of theirs can be lost. */
  readonly peers: PeerPositions;
}

export interface Step {
  /** What the node should be now. The same object as `own` when nothing is to do. */
  readonly position: Position | undefined;
  readonly stage: Stage;
  /** Nodes that must go on before this one can. Empty: none, or the node itself. */
  readonly waitingFor: readonly string[];
  /** The old may be dropped, `position` still has it: the caller waits until what is under way has arrived. */
  readonly mayDrop: boolean;
}

/**
 * One node's next step. No node leads: each decides from the target and from what all have published, and what it sees of
 * either may be old. Three rules, each of which only makes more true what the others rely on:
 *
 *   A  a new target: receive by it, too;
 *   B  all receive by it: send by it;
 *   C  all send by it: receive by nothing else.
 *
 * Why no interleaving of them loses a packet: docs/design/live-switch.md. protocol.model.test.ts tries to refute it.
 */
export function nextStep({ own, published, target, peers }: View): Step {
  const wait = (position: Position | undefined, stage: Stage, waitingFor: readonly string[]): Step => ({
    position,
    stage,
    waitingFor,
    mayDrop: false,
  });
  // What it sees of the target is older than what it did: after a restart, from a cache.
  if (own !== undefined && own.epoch > target.epoch) return wait(own, "offer", []);

  const entered = enter(own, target, peers);
  const notAccepting = namesWhere(peers, (peer) => !follows(peer, target) || !peer.accepts.includes(target.id));
  if (notAccepting.length > 0) return wait(entered, "accept", notAccepting);
  const sending = entered.sends === target.id ? entered : { ...entered, sends: target.id };

  const notSending = namesWhere(peers, (peer) => !follows(peer, target) || peer.sends !== target.id);
  if (notSending.length > 0) return wait(sending, "send", notSending);
  if (sending.accepts.length === 1) return wait(sending, "done", []);
  const mayDrop = published !== undefined && follows(published, target) && published.sends === target.id;
  return { position: sending, stage: "send", waitingFor: [], mayDrop };
}

/** Rule C. */
export const dropEarlier = (position: Position): Position => ({ ...position, accepts: [position.sends] });

/** Rule A, and how a node begins that comes to a cluster which is somewhere on its way. */
function enter(own: Position | undefined, target: Target, peers: PeerPositions): Position {
  if (own?.epoch === target.epoch) return own;
  const accepts = [...new Set([target.id, ...target.earlier, ...(own?.accepts ?? [])])];
  return { epoch: target.epoch, accepts, sends: sendable(own, target, peers) };
}

/**
 * By what a node sends before all receive by the target: by what it did, whoever receives that, for others may be dropping
 * anything else on its word. One that did nothing yet takes what another sends by, for that all receive.
 */
function sendable(own: Position | undefined, target: Target, peers: PeerPositions): ConfigId {
  if (own !== undefined) return own.sends;
  const known = [...peers.values()].filter((peer) => peer !== undefined);
  const used = known.map((peer) => peer.sends).filter((id) => target.earlier.includes(id));
  return used.find((id) => known.every((peer) => peer.accepts.includes(id))) ?? target.id;
}

const follows = (peer: Position | undefined, { epoch }: Target): peer is Position => peer?.epoch === epoch;

/** Sorted, so that every node says the same. `behind` is asked of what is known; who published nothing is behind. */
const namesWhere = (peers: PeerPositions, behind: (peer: Position) => boolean): readonly string[] =>
  [...peers]
    .filter(([, peer]) => peer === undefined || behind(peer))
    .map(([name]) => name)
    .sort();

/**
 * The target after `before`. Nobody may still use what it leaves out: only when all nodes, as seen, use nothing but the
 * target of before, are the earlier ones forgotten.
 */
export function targetAfter(before: Target, id: ConfigId, positions: PeerPositions): Target {
  const settled = [...positions.values()].every(
    (peer) => follows(peer, before) && peer.sends === before.id && peer.accepts.length === 1,
  );
  const earlier = settled ? [before.id] : [before.id, ...before.earlier];
  return { epoch: before.epoch + 1, id, earlier: [...new Set(earlier)].filter((other) => other !== id) };
}

import { Numbering } from "./numbering.ts";

/**
 * Members in parts, those of equal content in one part, each part with a number that changes as seldom as may be
 * (`Numbering`). 0 is the number of members without content. What a member's content is now is set at any time; numbers follow at
 * `settle`, at the cost of the members that changed and of those whose number does.
 */
export class Partition<M> {
  readonly #numbering: Numbering;
  readonly #weightOf: ((member: M) => number) | undefined;
  readonly #contents = new Map<M, string>();
  readonly #parts = new Map<string, Set<M>>();
  readonly #pending = new Map<M, string | undefined>();
  readonly #suspect = new Set<M>();

  /** @param weightOf what a member's vote counts; absent: one. */
  constructor(firstNumber: number, weightOf?: (member: M) => number) {
    this.#numbering = new Numbering(firstNumber);
    this.#weightOf = weightOf;
  }

  /** As of the last `settle`. */
  numberOf(member: M): number {
    const content = this.#contents.get(member);
    return content === undefined ? 0 : (this.#numbering.of(content) ?? 0);
  }

  /** As of the last `settle`. */
  membersOf(content: string): ReadonlySet<M> {
    return this.#parts.get(content) ?? none;
  }

  set(member: M, content: string | undefined): void {
    this.#pending.set(member, content);
  }

  /** What the member stands for has grown by what bears other numbers, so its part must vote again. */
  revote(member: M): void {
    this.#suspect.add(member);
  }

  /**
   * @param borne the numbers that a member's substance bears already, with their weights, where these are not its own: it is new, or to
   * `revote`.
   */
  settle(borne: Borne<M> = nobody): Settled<M> {
    const moves = [...this.#pending].flatMap(([member, to]): Move<M> | readonly Move<M>[] => {
      const from = this.#contents.get(member);
      return from === to ? [] : { member, from, to, number: this.numberOf(member) };
    });
    const suspects = new Set(this.#suspect);
    this.#pending.clear();
    this.#suspect.clear();
    if (moves.length === 0 && suspects.size === 0) return nothing;
    for (const { member, from } of moves) if (from !== undefined) this.#parts.get(from)?.delete(member);
    const contents = moves.flatMap(({ from, to }) => [from, to]);
    for (const member of suspects) contents.push(this.#contents.get(member));
    const touched = new Set(contents.filter((content) => content !== undefined));
    const before = new Map<string, number>();
    for (const content of touched) {
      const number = this.#numbering.of(content);
      if (number !== undefined) before.set(content, number);
    }
    const votes = this.#votes(touched, before, moves, suspects, borne);
    for (const { member, to } of moves) {
      if (to === undefined) this.#contents.delete(member);
      else this.#join(member, to);
    }
    const gone = [...touched].filter((content) => this.membersOf(content).size === 0);
    for (const content of gone) {
      votes.delete(content);
      this.#parts.delete(content);
    }
    this.#numbering.settle(gone, votes);
    return { members: this.#renumbered(touched, before, moves), numbers: this.#changedNumbers(touched, before), gone };
  }

  /** Of those that stay where they are, and of those that move, for where they go. */
  #votes(
    touched: ReadonlySet<string>,
    before: ReadonlyMap<string, number>,
    moves: readonly Move<M>[],
    suspects: ReadonlySet<M>,
    borne: Borne<M>,
  ): Map<string, Map<number, number>> {
    const votes = new Map([...touched].map((content) => [content, new Map<number, number>()]));
    for (const [content, number] of before) {
      vote(votes.get(content), [[number, this.#weigh(this.membersOf(content))]]);
    }
    for (const member of suspects) {
      const content = this.#contents.get(member);
      const number = content === undefined ? undefined : before.get(content);
      if (content === undefined || number === undefined || !this.membersOf(content).has(member)) continue;
      vote(votes.get(content), [[number, -this.#weigh([member])]]);
      vote(votes.get(content), borne(member));
    }
    for (const { member, from, to, number } of moves) {
      if (to === undefined) continue;
      const bears =
        from === undefined || suspects.has(member) ? borne(member) : [[number, this.#weigh([member])] as const];
      vote(votes.get(to), bears);
    }
    return votes;
  }

  #renumbered(
    touched: ReadonlySet<string>,
    before: ReadonlyMap<string, number>,
    moves: readonly Move<M>[],
  ): readonly M[] {
    const moved = new Set(moves.map(({ member }) => member));
    const members = moves.filter(({ member, number }) => this.numberOf(member) !== number).map(({ member }) => member);
    for (const content of touched) {
      if (this.#numbering.of(content) === before.get(content)) continue;
      for (const member of this.membersOf(content)) if (!moved.has(member)) members.push(member);
    }
    return members;
  }

  #changedNumbers(touched: ReadonlySet<string>, before: ReadonlyMap<string, number>): Settled<M>["numbers"] {
    const numbers = new Map<number, string | undefined>();
    for (const [content, number] of before) {
      if (this.#numbering.of(content) !== number && !numbers.has(number)) numbers.set(number, undefined);
    }
    for (const content of touched) {
      const number = this.#numbering.of(content);
      if (number !== undefined && number !== before.get(content)) numbers.set(number, content);
    }
    return numbers;
  }

  #join(member: M, content: string): void {
    this.#contents.set(member, content);
    const part = this.#parts.get(content);
    if (part === undefined) this.#parts.set(content, new Set([member]));
    else part.add(member);
  }

  #weigh(members: ReadonlySet<M> | readonly [M]): number {
    if (this.#weightOf === undefined) return members instanceof Set ? members.size : 1;
    let sum = 0;
    for (const member of members) sum += this.#weightOf(member);
    return sum;
  }
}

function vote(of: Map<number, number> | undefined, votes: Iterable<readonly [number: number, weight: number]>): void {
  for (const [number, weight] of votes) of?.set(number, (of.get(number) ?? 0) + weight);
}

/** The numbers that a member's substance bears, with their weights. */
export type Borne<M> = (member: M) => Iterable<readonly [number: number, weight: number]>;

/** A member whose content is another, and the number that it had. */
interface Move<M> {
  readonly member: M;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly number: number;
}

export interface Settled<M> {
  /** Whose number is another. */
  readonly members: readonly M[];
  /** Numbers that stand for another content now; undefined: for none. */
  readonly numbers: ReadonlyMap<number, string | undefined>;
  /** Contents that have no members any more. */
  readonly gone: readonly string[];
}

const nobody = () => [];
const none: ReadonlySet<never> = new Set();
const nothing: Settled<never> = { members: [], numbers: new Map(), gone: [] };

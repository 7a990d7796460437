import type { Decision } from "../../model/policy-state.ts";
import { covers, type Facts, type Point, stepMatches } from "./decide.ts";
import type { FactKey } from "./fact.ts";
import type { Program, Step } from "./program.ts";
import { maybe, no, yes } from "./truth.ts";

/**
 * `decideOne` for many points and many peers: the same, at the cost of the steps that concern the peer and the points that a step
 * concerns. With thousands of rules of which few concern any one peer, this is what keeps a class's cost from being that of all.
 */
export class Decider {
  readonly #program: Program;
  readonly #points: readonly Point[];
  /** By step: the points that its traffic may cover. */
  readonly #covered: readonly (readonly number[])[];
  /** Places of steps that may match what has no facts. */
  readonly #always: Uint32Array;
  readonly #byFact: ReadonlyMap<FactKey, Uint32Array>;

  constructor(program: Program, points: readonly Point[]) {
    this.#program = program;
    this.#points = points;
    const all = points.map((point, index) => ({ point, index }));
    const everywhere = [...points.keys()];
    this.#covered = program.steps.map(({ traffic }) => {
      if (traffic === undefined) return everywhere;
      const found = all.filter(({ point }) => traffic.some((match) => covers(match, point)));
      return found.map(({ index }) => index);
    });
    const always: number[] = [];
    const byFact = new Map<FactKey, number[]>();
    program.steps.forEach(({ peers }, place) => {
      if (peers === undefined || peers.some(({ outside }) => outside !== no)) always.push(place);
      else {
        for (const { fact } of peers) {
          const places = byFact.get(fact);
          if (places === undefined) byFact.set(fact, [place]);
          else if (places.at(-1) !== place) places.push(place);
        }
      }
    });
    this.#always = Uint32Array.from(always);
    this.#byFact = new Map([...byFact].map(([fact, places]) => [fact, Uint32Array.from(places)]));
  }

  /** By point. */
  decide(facts: Facts): readonly Decision[] {
    const { steps, direction } = this.#program;
    const open = this.#points.map((): Open => ({ log: false, from: 0 }));
    const decided: Decision[] = [];
    let left = open.length;
    const places = this.#places(facts);
    for (let at = 0; at < places.length && left > 0; at++) {
      const place = places[at] ?? 0;
      const step = steps[place];
      if (step === undefined) break;
      for (const index of this.#covered[place] ?? []) {
        const [state, point] = [open[index], this.#points[index]];
        if (decided[index] !== undefined || state === undefined || point === undefined || state.from > place) continue;
        const decision = ask(step, stepMatches(step, facts, point), state);
        if (decision === undefined) continue;
        decided[index] = { direction, ...decision, log: state.log };
        left--;
      }
    }
    return open.map(
      ({ log }, index) => decided[index] ?? { direction, verdict: "allow", log, reason: { by: "no-policy" } },
    );
  }

  /** Ascending. */
  #places(facts: Facts): Uint32Array {
    const lists = [this.#always];
    for (const fact of facts.keys()) {
      const places = this.#byFact.get(fact);
      if (places !== undefined) lists.push(places);
    }
    const all = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
    let filled = 0;
    for (const places of lists) {
      all.set(places, filled);
      filled += places.length;
    }
    return lists.length === 1 ? all : all.sort();
  }
}

/** Of a point that nothing has decided yet. */
interface Open {
  log: boolean;
  /** Where a "pass" leads. */
  from: number;
}

function ask(
  { action, reason, next }: Step,
  matches: ReturnType<typeof stepMatches>,
  open: Open,
): Pick<Decision, "verdict" | "reason"> | undefined {
  if (matches === no) return undefined;
  if (action === "log") open.log = true;
  else if (action === "deny" || (action === "pass" && matches === maybe)) return { verdict: "deny", reason };
  else if (action === "pass") open.from = next;
  else if (matches === yes) return { verdict: "allow", reason };
  return undefined;
}

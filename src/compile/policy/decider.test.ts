import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../base/random.ts";
import { decideOne, type Facts, type Point } from "./decide.ts";
import { Decider } from "./decider.ts";
import { portCells } from "./port-classes.ts";
import type { Program, Step, StepPorts } from "./program.ts";
import type { Truth } from "./truth.ts";

const facts = ["a", "b", "c", "d"];

test("many points at once are decided as each alone", () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seededRandom(seed);
    const program = randomProgram(random);
    const points: Point[] = [
      { protocol: undefined, port: undefined },
      ...portCells([program]).map(({ point }) => point),
    ];
    const decider = new Decider(program, points);
    for (let count = 0; count < 5; count++) {
      const peer: Facts = new Map(facts.filter(() => random.below(2) === 0).map((fact) => [fact, truth(random)]));
      expect({ seed, decided: decider.decide(peer) }).toEqual({
        seed,
        decided: points.map((point) => decideOne(program, peer, point)),
      });
    }
  }
}, 60_000);

test("every port is in the cell whose point is decided as it is", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const program = randomProgram(random);
    const cells = portCells([program]);
    const peer: Facts = new Map(facts.filter(() => random.below(2) === 0).map((fact) => [fact, truth(random)]));
    for (const protocol of [6, 17]) {
      for (let port = 0; port < 120; port++) {
        const cell = cells.find(
          (one) => one.protocol === protocol && one.ranges.some(({ first, last }) => first <= port && port <= last),
        );
        const rest = cells.some((one) => one.protocol === protocol) ? protocol : undefined;
        const point = cell?.point ?? { protocol: rest, port: undefined };
        expect({ seed, protocol, port, decision: decideOne(program, peer, point) }).toEqual({
          seed,
          protocol,
          port,
          decision: decideOne(program, peer, { protocol, port }),
        });
      }
    }
  }
}, 60_000);

function randomProgram(random: Random): Program {
  const count = 1 + random.below(8);
  const steps = Array.from({ length: count }, (_, place): Step => {
    const action = (["allow", "deny", "pass", "log"] as const)[random.below(4)] ?? "deny";
    return {
      ...(random.below(4) === 0 ? {} : { peers: some(random, 2, () => randomPeer(random)) }),
      ...(random.below(3) === 0 ? {} : { traffic: some(random, 3, () => randomPorts(random)) }),
      ...(random.below(5) === 0 ? { notTraffic: some(random, 2, () => randomPorts(random)) } : {}),
      uncertain: random.below(8) === 0,
      action,
      reason: { by: "rule", policy: { kind: "NetworkPolicy", name: "n" }, rule: place },
      next: Math.min(count, place + 1 + random.below(4)),
    };
  });
  return { direction: "ingress", steps, facts: new Map(), key: "" };
}

const randomPeer = (random: Random) => ({
  fact: facts[random.below(facts.length)] ?? "a",
  outside: random.below(4) === 0 ? (2 as const) : (0 as const),
  ...(random.below(3) === 0 ? { unless: facts[random.below(facts.length)] ?? "b" } : {}),
});

function randomPorts(random: Random): StepPorts {
  const first = random.below(100);
  return {
    protocol: random.below(6) === 0 ? undefined : ([6, 17] as const)[random.below(2)],
    ...(random.below(4) === 0 ? {} : { ports: { first, last: first + random.below(20) } }),
    ...(random.below(5) === 0 ? { fact: facts[random.below(facts.length)] ?? "c" } : {}),
  };
}

const some = <T>(random: Random, limit: number, make: () => T): readonly T[] =>
  Array.from({ length: random.below(limit + 1) }, make);

const truth = (random: Random): Truth => ([0, 1, 2] as const)[random.below(3)] ?? 0;

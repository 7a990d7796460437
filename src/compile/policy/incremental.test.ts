import { expect, test } from "bun:test";
import type { Address } from "../../base/address.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import type { PolicyModelChange } from "../../model/policy-inputs.ts";
import { compilePolicy, PolicyCompiler } from "./compiler.ts";
import {
  emptyModel,
  type MutableModel,
  namespaceNames,
  nodeNames,
  RandomPolicy,
  tierNames,
} from "./random-model.fixture.ts";
import { difference, Mirror, printed } from "./same-state.fixture.ts";

const node = "node1";
/** TWILL_POLICY_SEEDS=1000: for a night. */
const seeds = Number(process.env.TWILL_POLICY_SEEDS ?? 8);

/** One change of the world; it says nothing about what was there before. */
interface Event {
  readonly kind: keyof PolicyModelChange | "attached";
  readonly name: string;
  readonly value: unknown;
}

/** The scenario as it stands, and as it may come. Each ends in the same world as some other order of the same events would. */
const expanders: Readonly<Record<string, (events: readonly Event[]) => readonly (readonly Event[])[]>> = {
  "one by one": (events) => events.map((event) => [event]),
  squashed: (events) => [events],
  "in threes": (events) => events.flatMap((_, index) => (index % 3 === 0 ? [events.slice(index, index + 3)] : [])),
  reversed: (events) => [...events].reverse().map((event) => [event]),
  "with nothing in between": (events) => events.flatMap((event) => [[event], [], [event]]),
  "all taken away again, in the order in which it came": (events) => [
    ...events.map((event) => [event]),
    ...events.map((event) => [{ ...event, value: undefined }]),
  ],
  "each deleted and made again": (events) =>
    events.flatMap((event) => [[event], [{ ...event, value: undefined }], [event]]),
};

for (const [name, expand] of Object.entries(expanders)) {
  test(`what is updated is what is compiled at once: ${name}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const model = emptyModel();
      const attached = new Map<string, readonly Address[]>();
      const compiler = new PolicyCompiler(model, { node });
      const mirror = new Mirror();
      mirror.apply(compiler.update());
      const steps = expand(scenario(seededRandom(seed)));
      steps.forEach((events, index) => {
        for (const event of events) happen(event, model, attached, compiler);
        mirror.apply(compiler.update(changeOf(events)));
        const context = { seed, step: index, events: JSON.stringify(events) };
        const fresh = compilePolicy(model, { node }, attached);
        expect({ ...context, difference: difference(fresh, compiler.state) }).toEqual({
          ...context,
          difference: undefined,
        });
        expect({ ...context, mirror: printed(mirror.state) }).toEqual({ ...context, mirror: printed(compiler.state) });
      });
    }
  }, 60_000);
}

test("with everything taken away nothing is left, and news of what did not change change nothing", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const model = new RandomPolicy(seededRandom(seed)).model();
    const compiler = new PolicyCompiler(model, { node });
    compiler.update();
    const everything = {
      namespaces: new Set(model.namespaces.keys()),
      endpoints: new Set(model.endpoints.keys()),
      nodes: new Set(model.nodes.keys()),
      tiers: new Set(model.tiers.keys()),
      policies: new Set(model.policies.keys()),
    };
    expect(rowsIn(compiler.update(everything))).toBe(0);
    for (const kind of Object.values(model)) kind.clear();
    compiler.update(everything);
    expect(printed(compiler.state)).toBe(printed(new PolicyCompiler(emptyModel(), { node }).state));
  }
}, 60_000);

function scenario(random: Random): readonly Event[] {
  const policy = new RandomPolicy(random);
  const start = policy.model();
  const world: Event[] = [
    ...[...start.namespaces].map(([name, value]) => ({ kind: "namespaces", name, value }) as const),
    ...[...start.nodes].map(([name, value]) => ({ kind: "nodes", name, value }) as const),
    ...[...start.tiers].map(([name, value]) => ({ kind: "tiers", name, value }) as const),
    ...[...start.policies].map(([name, value]) => ({ kind: "policies", name, value }) as const),
    ...[...start.endpoints].map(([name, value]) => ({ kind: "endpoints", name, value }) as const),
  ];
  const scratch = emptyModel();
  const more = Array.from({ length: 25 }, () => randomEvent(random, policy, scratch));
  const events = [...world, ...more];
  return random.below(2) === 0 ? events : events.sort(() => random.below(3) - 1);
}

function randomEvent(random: Random, policy: RandomPolicy, scratch: MutableModel): Event {
  const gone = random.below(3) === 0;
  const kind = pick(random, [
    "policies",
    "policies",
    "endpoints",
    "endpoints",
    "namespaces",
    "nodes",
    "tiers",
    "attached",
  ] as const);
  const event = (name: string, value: unknown): Event => ({ kind, name, value: gone ? undefined : value });
  const namespace = pick(random, namespaceNames);
  const host = pick(random, nodeNames);
  const tier = pick(random, tierNames);
  switch (kind) {
    case "policies": {
      const name = policy.putPolicy(scratch);
      return event(name, scratch.policies.get(name));
    }
    case "endpoints":
    case "attached": {
      const name = policy.putEndpoint(scratch);
      const endpoint = scratch.endpoints.get(name);
      return event(name, kind === "attached" ? endpoint?.addresses : endpoint);
    }
    case "namespaces":
      return event(namespace, policy.namespace(namespace));
    case "nodes":
      return event(host, policy.node(host));
    case "tiers":
      return event(tier, policy.tier(tier));
  }
}

function happen(
  event: Event,
  model: MutableModel,
  attached: Map<string, readonly Address[]>,
  compiler: PolicyCompiler,
): void {
  const { kind, name, value } = event;
  const entries: Map<string, unknown> = kind === "attached" ? attached : model[kind];
  if (value === undefined) entries.delete(name);
  else entries.set(name, value);
  if (kind !== "attached") return;
  const addresses = attached.get(name);
  if (addresses === undefined) compiler.detach(name);
  else compiler.attach(name, addresses);
}

function changeOf(events: readonly Event[]): Partial<PolicyModelChange> {
  const of = (kind: Event["kind"]) => new Set(events.filter((event) => event.kind === kind).map(({ name }) => name));
  return {
    namespaces: of("namespaces"),
    endpoints: of("endpoints"),
    nodes: of("nodes"),
    tiers: of("tiers"),
    policies: of("policies"),
  };
}

const rowsIn = ({ addresses, networks, ports, decisions, verdicts }: ReturnType<PolicyCompiler["update"]>): number =>
  addresses.size + ports.size + decisions.size + verdicts.size + (networks === undefined ? 0 : 1);

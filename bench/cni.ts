import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentNode } from "./agent-node.ts";
import { type Action, bridgeContestant, type Contestant, call, twillContestant } from "./cni-contestant.ts";
import { Namespace } from "./namespace.ts";
import { type Comparison, compare, type Figure, type Row } from "./report.ts";
import type { Bench } from "./run.ts";
import { runTogether } from "./spawner.ts";
import { summarize } from "./statistics.ts";

const actions = ["ADD", "DEL"] as const;
const goals: Readonly<Record<Action, number>> = { ADD: 0.6, DEL: 0.4 };
const rounds = { alone: 200, together: 8 };
const crowd = 50;
/** Rounds that are not counted: page cache, first pods of a node, the agent's compiler. */
const warmUp = 5;

/**
 * CNI ADD and DEL as a container runtime sees them: from the start of the plugin's process to its end, result written.
 *
 * Ours and Debian's bridge + host-local take turns, each in a node's namespace of its own, with an IPv4 pod network each,
 * no masquerade by the plugin on either side, and the same pods' namespaces again and again (a round leaves them as it
 * found them). All files of both lie on one file system.
 */
export async function benchCni({ programs, folder, progress, scale }: Bench): Promise<Row[]> {
  const network = { Network: "10.244.0.0/16", Backend: { Type: "host-gw" } };
  const agent = new AgentNode(programs, join(folder, "twill"), network);
  const flannel = { isDefaultGateway: true, hairpinMode: true, mtu: 1450 };
  const peers = [
    bridgeContestant(join(folder, "bridge"), "bridge", "0.0.0.0/0", { isGateway: true }),
    // isDefaultGateway brings the default route itself.
    bridgeContestant(join(folder, "flannel"), "bridge, as Flannel's", "10.245.0.0/16", flannel),
  ];
  const pods = Array.from({ length: crowd }, () => new Namespace());
  try {
    await agent.start("--address-reuse-delay", "0");
    const ours = twillContestant(programs, agent);
    const rows: Row[] = [];
    for (const [name, count, how] of [
      ["one at a time", Math.ceil(rounds.alone * scale), pods.slice(0, 1)],
      [`${crowd} at once`, Math.ceil(rounds.together * scale), pods],
    ] as const) {
      const samples = measure([ours, ...peers], how, count, (done) => progress(`CNI, ${name}: ${done} of ${count}`));
      for (const peer of peers)
        for (const action of actions)
          rows.push(
            ...comparisons(
              `${action}, ${name}`,
              goals[action],
              samples(ours, action),
              samples(peer, action),
              peer.name,
            ),
          );
    }
    await agent.stop();
    return [...rows, ...floors(programs, folder, Math.ceil(rounds.alone * scale))];
  } finally {
    for (const netns of [...pods, ...peers.map(({ node }) => node)]) netns.close();
    agent.close();
  }
}

/** What no plugin of its kind can be faster than: the start and end of a process in which nothing happens. */
function floors(programs: string, folder: string, count: number): Figure[] {
  const [source, empty] = [join(folder, "empty.ts"), join(folder, "empty")];
  writeFileSync(source, "process.exit(0);");
  const built = Bun.spawnSync([process.execPath, "build", "--compile", "--bytecode", source, "--outfile", empty]);
  if (built.exitCode !== 0) throw new Error(`bun build: ${built.stderr}`);
  // Without the executable beside it, it can neither ask nor hand over.
  const launcher = join(folder, "launcher");
  copyFileSync(join(programs, "twill-cni"), launcher);
  const measured = [
    { what: "the launcher, with nobody to ask", program: launcher },
    { what: "an empty compiled Bun program", program: empty },
  ].map(({ what, program }) => ({
    what,
    command: { program, environment: {}, stdin: "/dev/null", stdout: "/dev/null" },
    times: [] as number[],
  }));
  for (let round = -warmUp; round < count; round++)
    for (const { command, times } of measured) {
      const [ended] = runTogether([command]);
      if (round >= 0 && ended !== undefined) times.push(ended.milliseconds);
    }
  return measured.map(({ what, times }) => {
    const { p50, p99 } = summarize(times);
    return { what, value: `${p50.toFixed(2)} / ${p99.toFixed(2)} ms` };
  });
}

/** Milliseconds. */
interface Sample {
  /** Each call from its start to its end, and their median in each round. */
  readonly calls: number[];
  readonly medians: number[];
  /** Each round from the first call's start to the last one's end. */
  readonly wholes: number[];
  /** Processor time a call, plugin, its children and the agent; one for each round. */
  readonly processor: number[];
}

function measure(
  contestants: readonly Contestant[],
  pods: readonly Namespace[],
  count: number,
  progress: (done: number) => void,
): (contestant: Contestant, action: Action) => Sample {
  const samples = new Map<string, Sample>();
  const key = ({ name }: Contestant, action: Action) => `${name} ${action}`;
  const of = (contestant: Contestant, action: Action): Sample =>
    samples.get(key(contestant, action)) ?? { calls: [], medians: [], wholes: [], processor: [] };
  for (let round = -warmUp; round < count; round++) {
    progress(Math.max(0, round));
    for (const contestant of contestants)
      for (const action of actions) {
        const sample = of(contestant, action);
        samples.set(key(contestant, action), sample);
        const [before, started] = [contestant.processor(), performance.now()];
        const ended = call(contestant, action, pods, `pod${pods.length}-${round}`);
        const whole = performance.now() - started;
        const processor = ended.reduce((sum, one) => sum + one.processor, contestant.processor() - before);
        if (round < 0) continue;
        const times = ended.map(({ milliseconds }) => milliseconds);
        sample.calls.push(...times);
        sample.medians.push(summarize(times).p50);
        sample.wholes.push(whole);
        sample.processor.push(processor / pods.length);
      }
  }
  return of;
}

function comparisons(what: string, goal: number, ours: Sample, theirs: Sample, against: string): Comparison[] {
  const common = { against, unit: "ms" };
  const calls = { ours: ours.calls, theirs: theirs.calls };
  const pairs = { ours: ours.medians, theirs: theirs.medians };
  const whole = { ours: ours.wholes, theirs: theirs.wholes };
  const processor = { ours: ours.processor, theirs: theirs.processor };
  const all = compare({ ...common, what: `${what}, until the last is done`, ...whole, goal: { most: goal } });
  return [
    compare({ ...common, what, ...calls, pairs, goal: { most: goal } }),
    ...(ours.calls.length > ours.wholes.length ? [all] : []),
    compare({ ...common, what: `${what}, processor time`, ...processor }),
  ];
}

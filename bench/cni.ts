import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentNode } from "./agent-node.ts";
import { Namespace } from "./namespace.ts";
import { type Comparison, compare } from "./report.ts";
import type { Bench } from "./run.ts";
import { type Command, type Ended, runAlone, runTogether } from "./spawner.ts";

/**
 * CNI ADD and DEL as a container runtime sees them: from the start of the plugin's process to its end, result written.
 *
 * Ours and Debian's bridge + host-local take turns, each in a node's namespace of its own, with an IPv4 pod network each,
 * no masquerade by the plugin on either side, and the same pods' namespaces again and again (a round leaves them as it
 * found them). All files of both lie on one file system.
 */
const debian = "/usr/lib/cni";
const goals = { ADD: 0.6, DEL: 0.4 };
const rounds = { alone: 200, together: 6, pods: 50 };

type Action = "ADD" | "DEL";

/** One plugin on a node of its own. */
interface Contestant {
  readonly name: string;
  readonly program: string;
  readonly node: Namespace;
  readonly folder: string;
  readonly config: object;
}

export async function benchCni({ programs, folder, progress, scale }: Bench): Promise<Comparison[]> {
  const agentNode = new AgentNode(programs, join(folder, "twill"), {
    Network: "10.244.0.0/16",
    Backend: { Type: "host-gw" },
  });
  const peers = [
    peer(folder, "bridge", "0.0.0.0/0", { isGateway: true }),
    // isDefaultGateway brings the default route itself.
    peer(folder, "bridge, as Flannel's", "10.245.0.0/16", { isDefaultGateway: true, hairpinMode: true, mtu: 1450 }),
  ];
  const pods = Array.from({ length: rounds.pods }, () => new Namespace());
  try {
    await agentNode.start("--address-reuse-delay", "0");
    const ours: Contestant = {
      name: "twill-cni",
      program: join(programs, "twill-cni"),
      node: agentNode.netns,
      folder: agentNode.folder,
      config: agentNode.pluginConfig(),
    };
    const contestants = [ours, ...peers];
    for (const contestant of contestants) writeFileSync(configOf(contestant), JSON.stringify(contestant.config));

    const alone = new Samples();
    const aloneRounds = Math.ceil(rounds.alone * scale);
    for (let round = -5; round < aloneRounds; round++) {
      progress(`CNI, one at a time: ${Math.max(0, round)} of ${aloneRounds}`);
      const pod = pods[(round + 5) % pods.length];
      for (const contestant of contestants)
        for (const action of ["ADD", "DEL"] as const) {
          const [ended] = carryOut(contestant, action, pod === undefined ? [] : [pod], `alone${round}`);
          if (round >= 0 && ended !== undefined) alone.add(contestant.name, action, ended.milliseconds);
        }
    }

    const together = new Samples();
    const wall = new Samples();
    const togetherRounds = Math.max(2, Math.ceil(rounds.together * scale));
    for (let round = -1; round < togetherRounds; round++) {
      progress(`CNI, ${rounds.pods} at once: ${Math.max(0, round)} of ${togetherRounds}`);
      for (const contestant of contestants)
        for (const action of ["ADD", "DEL"] as const) {
          const started = performance.now();
          const all = carryOut(contestant, action, pods, `together${round}`);
          if (round < 0) continue;
          wall.add(contestant.name, action, performance.now() - started);
          for (const { milliseconds } of all) together.add(contestant.name, action, milliseconds);
        }
    }
    await agentNode.stop();
    return peers.flatMap((other) =>
      (["ADD", "DEL"] as const).flatMap((action) => {
        const row = (what: string, samples: Samples) =>
          compare({
            what: `${action}, ${what}`,
            against: other.name,
            unit: "ms",
            ours: samples.of(ours.name, action),
            theirs: samples.of(other.name, action),
            goal: { most: goals[action] },
          });
        return [
          row("one at a time", alone),
          row(`each of ${rounds.pods} at once`, together),
          row(`all of ${rounds.pods} at once`, wall),
        ];
      }),
    );
  } finally {
    for (const netns of [...pods, ...peers.map(({ node }) => node)]) netns.close();
    agentNode.close();
  }
}

/** @param route the pods' beside their own subnet. */
function peer(folder: string, name: string, route: string, settings: object): Contestant {
  const own = join(folder, name.replaceAll(/\W+/g, "-"));
  mkdirSync(own, { recursive: true });
  const node = new Namespace();
  node.run("ip link set lo up");
  const ipam = {
    type: "host-local",
    ranges: [[{ subnet: "10.245.1.0/24" }]],
    routes: [{ dst: route }],
    dataDir: join(own, "host-local"),
  };
  const config = {
    cniVersion: "1.0.0",
    name: "bench",
    type: "bridge",
    bridge: "cni0",
    ipMasq: false,
    ...settings,
    ipam,
  };
  return { name, program: join(debian, "bridge"), node, folder: own, config };
}

const configOf = ({ folder }: Contestant): string => join(folder, "config.json");

/** @throws Error with what the plugin said, when one fails. */
function carryOut(contestant: Contestant, action: Action, pods: readonly Namespace[], id: string): Ended[] {
  const commands = pods.map(
    (pod, index): Command => ({
      program: contestant.program,
      environment: {
        CNI_COMMAND: action,
        CNI_CONTAINERID: `${id}-${index}`,
        CNI_NETNS: pod.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: debian,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-${index};K8S_POD_INFRA_CONTAINER_ID=${id}-${index}`,
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      },
      stdin: configOf(contestant),
      stdout: join(contestant.folder, `output-${index}`),
    }),
  );
  const all = contestant.node.enter(() => (commands.length === 1 ? commands.map(runAlone) : runTogether(commands)));
  for (const { status, command } of all)
    if (status !== 0) throw new Error(`${contestant.name}: ${action} failed: ${readFileSync(command.stdout, "utf8")}`);
  return all;
}

/** Milliseconds by contestant and action. */
class Samples {
  readonly #values = new Map<string, number[]>();

  add(name: string, action: Action, milliseconds: number): void {
    const key = `${name} ${action}`;
    this.#values.set(key, [...this.of(name, action), milliseconds]);
  }

  of(name: string, action: Action): readonly number[] {
    return this.#values.get(`${name} ${action}`) ?? [];
  }
}

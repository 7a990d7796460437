import { join } from "node:path";
import { type Manifest, type PodObject, type TestCluster, until } from "./cluster.fixture.ts";
import type { Seen } from "./datagrams.fixture.ts";

/** Two on each node, so that paths within a node are seen too; they tolerate everything, so they stay. */
const staying = (["stay-a", "stay-b"] as const).map(
  (name): Manifest => ({
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name, role: "stay" } },
        spec: {
          tolerations: [{ operator: "Exists" }],
          terminationGracePeriodSeconds: 1,
          containers: [{ name: "pause", image: "registry.k8s.io/pause:3.10" }],
        },
      },
    },
  }),
);

/** Pods that stay, one pair a node, ready when this resolves. */
export async function stayingPods(cluster: TestCluster): Promise<readonly PodObject[]> {
  await cluster.apply(...staying);
  for (const { metadata } of staying)
    await cluster.kubectl("rollout", "status", `daemonset/${metadata.name}`, "--timeout=150s");
  return await cluster.pods("-l", "role=stay");
}

/** For a node that is to be without pods. */
export async function removeStayingPods(cluster: TestCluster): Promise<void> {
  await cluster.remove(...staying);
  await until("the pods that stayed are gone", async () => (await cluster.pods("-l", "role=stay")).length === 0);
}

interface Talker {
  readonly pod: string;
  readonly child: ReturnType<TestCluster["spawn"]>;
  readonly lines: AsyncIterator<string>;
}

export interface Summary {
  readonly sent: number;
  readonly lost: number;
  readonly slowestMs: number;
  /** What was lost, in words: from whom to whom, how many, when. Two answers to one question, too. */
  readonly faults: readonly string[];
}

/** Every pod that stays on these nodes asks every other, 50 times a second, until `stop`. */
export class Traffic {
  readonly #talkers: readonly Talker[];
  readonly #names: ReadonlyMap<string, string>;

  private constructor(talkers: readonly Talker[], names: ReadonlyMap<string, string>) {
    this.#talkers = talkers;
    this.#names = names;
  }

  static async start(cluster: TestCluster, nodes: readonly string[] = cluster.nodes): Promise<Traffic> {
    const pods = (await stayingPods(cluster)).filter(({ spec }) => nodes.includes(spec.nodeName ?? ""));
    const names = new Map(
      pods.map(({ metadata, spec, status }) => [status.podIP ?? "", `${metadata.name} on ${spec.nodeName}`]),
    );
    const talkers = await Promise.all(
      pods.map(async ({ spec, status }): Promise<Talker> => {
        const { nodeName = "", podIP = "" } = { ...spec, ...status };
        const peers = [...names.keys()].filter((address) => address !== podIP);
        const netns = await namespaceOf(cluster, nodeName, podIP);
        const program = join(import.meta.dir, "datagrams.fixture.ts");
        const enter = ["nsenter", `--net=/run/netns/${netns}`, process.execPath, program, ...peers];
        const child = cluster.spawn(["exec", nodeName, "--", ...enter], "pipe");
        return { pod: names.get(podIP) ?? "", child, lines: lines(child.stdout) };
      }),
    );
    const traffic = new Traffic(talkers, names);
    for (const talker of talkers) await next(talker);
    traffic.#tell("ask");
    await Bun.sleep(500);
    return traffic;
  }

  #tell(word: string): void {
    for (const { child } of this.#talkers) {
      if (child.stdin === undefined) continue;
      child.stdin.write(`${word}\n`);
      child.stdin.flush();
    }
  }

  /** Answers on their way are waited for. */
  async stop(): Promise<Summary> {
    this.#tell("stop");
    const seen = await Promise.all(
      this.#talkers.map(async (talker) => ({ pod: talker.pod, ...(JSON.parse(await next(talker)) as Seen) })),
    );
    for (const { child } of this.#talkers) child.stdin?.end();
    await Promise.all(this.#talkers.map(({ child }) => child.exited));
    return {
      sent: seen.reduce((sum, { sent }) => sum + sent, 0),
      lost: seen.reduce((sum, { lost }) => sum + lost.length, 0),
      slowestMs: Math.max(...seen.map(({ slowestMs }) => slowestMs)),
      faults: seen.flatMap(({ pod, lost, doubled }) => [
        ...this.#describe(pod, lost, "lost"),
        ...this.#describe(pod, doubled, "answered twice"),
      ]),
    };
  }

  #describe(pod: string, faults: Seen["lost"], what: string): string[] {
    return [...Map.groupBy(faults, ({ peer }) => peer)].map(([peer, all]) => {
      const times = all.map(({ at }) => at);
      const [first, last] = [Math.min(...times), Math.max(...times)].map((time) => new Date(time).toISOString());
      return `${pod} → ${this.#names.get(peer) ?? peer}: ${all.length} ${what}, ${first} to ${last}`;
    });
  }

  /** For a test that failed: nobody asks what they saw. */
  kill(): void {
    for (const { child } of this.#talkers) child.stdin?.end();
  }
}

async function next({ pod, child, lines }: Talker): Promise<string> {
  const { value, done } = await lines.next();
  if (done !== true) return value;
  throw new Error(`the program in ${pod} ended: ${await new Response(child.stderr).text()}`);
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

/** File in /run/netns of the node: containerd's names say nothing, so the one with this address. */
export async function namespaceOf(cluster: TestCluster, node: string, address: string): Promise<string> {
  const script =
    'for n in $(ls /run/netns); do ip -n "$n" -o -4 address show dev eth0 2>/dev/null | sed "s/^/$n /"; done';
  let found: string | undefined;
  await until(`${node} has a network namespace with ${address}`, async () => {
    const output = await cluster.on(node, "sh", "-c", script);
    found = output
      .split("\n")
      .find((line) => line.includes(` ${address}/`))
      ?.split(" ")[0];
    return found !== undefined;
  });
  return found ?? "";
}

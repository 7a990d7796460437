import { heapSize } from "bun:jsc";
import { parsePrefix } from "../src/base/prefix.ts";
import { seededRandom } from "../src/base/random.ts";
import { PolicyCompiler } from "../src/compile/policy/compiler.ts";
import { type PeerMatch, type Policy, policyName, protocols } from "../src/model/policy.ts";
import type { PolicyModelChange } from "../src/model/policy-inputs.ts";
import type { PolicyChange, PolicyState } from "../src/model/policy-state.ts";
import { type World, WorldMaker, type WorldSize } from "./policy-world.ts";
import type { Figure } from "./report.ts";
import type { Bench } from "./run.ts";
import { summarize } from "./statistics.ts";

const node = "node0";
const seed = 20261121;

/** Processor milliseconds for one event, of which most must take no more. */
const goal = { p50: 0.3, p99: 5 };

/** The policy engine alone, without datastore and kernel: from what changed in the model to the rows that are other. */
export async function benchPolicyCompile({ progress, scale }: Bench): Promise<Figure[]> {
  const rounds = Math.ceil(2000 * scale);
  const rows: Figure[] = [];
  progress("policy: a cluster of 30,000 pods and 30,000 policies");
  rows.push(...large(rounds));
  for (const { name, make } of worstCases) {
    progress(`policy: ${name}`);
    rows.push(...extreme(name, make, Math.ceil(rounds / 100)));
  }
  return rows;
}

/** A running compiler, and what happens to its cluster. */
class Site {
  readonly world: World;
  readonly maker: WorldMaker;
  readonly compiler: PolicyCompiler;
  readonly started: number;
  readonly #random = seededRandom(seed);
  readonly #pods: string[] = [];
  readonly #policies: string[] = [];

  constructor(size: WorldSize, change: (world: World, maker: WorldMaker) => void = () => {}) {
    this.maker = new WorldMaker(this.#random, size);
    this.world = this.maker.world();
    change(this.world, this.maker);
    this.compiler = new PolicyCompiler(this.world, { node });
    this.started = milliseconds(() => this.compiler.update()).taken;
  }

  addPod(on: number): Partial<PolicyModelChange> {
    const pod = this.maker.pod(on);
    const name = `${pod.namespace}/${pod.pod}`;
    this.#pods.push(name);
    this.world.endpoints.set(name, pod);
    return { endpoints: new Set([name]) };
  }

  removePod(): Partial<PolicyModelChange> {
    const name = this.#pods.pop() ?? "";
    this.world.endpoints.delete(name);
    return { endpoints: new Set([name]) };
  }

  relabelPod(): Partial<PolicyModelChange> {
    const name = this.#pods[this.#random.below(this.#pods.length)] ?? "";
    const pod = this.world.endpoints.get(name);
    const app = `app${this.#random.below(6)}`;
    if (pod !== undefined) this.world.endpoints.set(name, { ...pod, labels: { ...pod.labels, app } });
    return { endpoints: new Set([name]) };
  }

  addPolicy(namespace?: string): Partial<PolicyModelChange> {
    const policy = this.maker.policy(namespace);
    const name = policyName(policy.id);
    this.#policies.push(name);
    this.world.policies.set(name, policy);
    return { policies: new Set([name]) };
  }

  changePolicy(): Partial<PolicyModelChange> {
    const name = this.#policies[this.#random.below(this.#policies.length)] ?? "";
    const policy = this.world.policies.get(name);
    const { ingress = [] } = this.maker.policy(policy?.id.namespace);
    if (policy !== undefined) this.world.policies.set(name, { ...policy, ingress });
    return { policies: new Set([name]) };
  }

  removePolicy(): Partial<PolicyModelChange> {
    const name = this.#policies.pop() ?? "";
    this.world.policies.delete(name);
    return { policies: new Set([name]) };
  }

  /** A namespace with a pod of this node. */
  localNamespace(): string {
    const local = [...this.world.endpoints.values()].filter((endpoint) => endpoint.node === node);
    return local[this.#random.below(local.length)]?.namespace ?? "ns0";
  }
}

function large(rounds: number): Figure[] {
  const before = memory();
  const site = new Site({ nodes: 1000, pods: 30_000, policies: 30_000, namespaces: 1000, kinds: 6, localPods: 110 });
  const { compiler } = site;
  const events: readonly (readonly [string, number, () => Partial<PolicyModelChange>])[] = [
    ["a pod of another node comes", rounds, () => site.addPod(1)],
    ["it gets other labels", rounds, () => site.relabelPod()],
    ["it goes", rounds, () => site.removePod()],
    ["a pod of this node comes", rounds / 10, () => site.addPod(0)],
    ["it goes", rounds / 10, () => site.removePod()],
    ["a policy comes", rounds, () => site.addPolicy()],
    ["it changes", rounds, () => site.changePolicy()],
    ["it goes", rounds, () => site.removePolicy()],
    ["a policy of a namespace with pods here comes", rounds / 10, () => site.addPolicy(site.localNamespace())],
    ["it changes", rounds / 10, () => site.changePolicy()],
    ["it goes", rounds / 10, () => site.removePolicy()],
  ];
  return [
    {
      what: "start: 1,000 nodes, 30,000 pods, 30,000 policies",
      value: `${site.started.toFixed(0)} ms; ${sizes(compiler.state)}`,
    },
    ...events.map(([what, count, happen]) => timed(what, Math.ceil(count), happen, compiler)),
    { what: "heap afterwards, model and engine", value: `${(memory() - before).toFixed(0)} MB` },
  ];
}

function extreme(name: string, make: () => Site, rounds: number): Figure[] {
  const before = memory();
  const site = make();
  const { compiler } = site;
  return [
    {
      what: name,
      value: `${site.started.toFixed(0)} ms; ${sizes(compiler.state)}; ${(memory() - before).toFixed(0)} MB`,
    },
    timed("— a pod of another node comes", rounds, () => site.addPod(1), compiler, false),
    timed("— a pod of this node comes", rounds, () => site.addPod(0), compiler, false),
    timed("— a policy comes", Math.ceil(rounds / 4), () => site.addPolicy(), compiler, false),
  ];
}

const worstCases: readonly { readonly name: string; readonly make: () => Site }[] = [
  {
    name: "one node with 3,500 pods and 12,000 policies",
    make: () => new Site({ nodes: 1, pods: 3500, policies: 12_000, namespaces: 400, kinds: 6, localPods: 3500 }),
  },
  {
    name: "30,000 pods, each a class of its own to its policies",
    make: () =>
      new Site(
        { nodes: 1000, pods: 30_000, policies: 1000, namespaces: 100, kinds: 6, localPods: 110 },
        (world, maker) => {
          let pod = 0;
          for (const [name, endpoint] of world.endpoints) {
            world.endpoints.set(name, { ...endpoint, labels: { ...endpoint.labels, uid: `u${pod++}` } });
          }
          for (let index = 0; index < 30_000; index++) {
            const peer: PeerMatch = { endpoints: { labels: { op: "in", key: "uid", values: [`u${index}`] } } };
            put(world, { ...maker.policy(`ns${index % 100}`), ingress: [{ action: "allow", source: peer }] });
          }
        },
      ),
  },
  {
    name: "6,000 overlapping networks in rules for 10 pods",
    make: () =>
      networks((index) => ({
        networks: [parsePrefix(`10.${index & 127}.${(index * 7) & 255}.0/${8 + (index % 25)}`)],
        except: [],
      })),
  },
  {
    name: "6,000 rules for everywhere, each but for another network",
    make: () =>
      networks((index) => ({
        networks: [parsePrefix("0.0.0.0/0")],
        except: [parsePrefix(`11.${index >> 8}.${index & 255}.0/24`)],
      })),
  },
  {
    name: "1,000 overlapping ranges of ports in rules for 110 pods",
    make: () =>
      new Site({ nodes: 100, pods: 3000, policies: 0, namespaces: 100, kinds: 6, localPods: 110 }, (world, maker) => {
        for (let index = 0; index < 1000; index++) {
          const traffic = [{ protocol: protocols.tcp, ports: { first: index * 10, last: index * 10 + 20_000 } }];
          const source: PeerMatch = { endpoints: { namespace: `ns${index % 100}` } };
          put(world, { ...maker.policy("ns0"), subject: {}, ingress: [{ action: "allow", source, traffic }] });
        }
      }),
  },
];

const networks = (peer: (index: number) => PeerMatch): Site =>
  new Site({ nodes: 100, pods: 3000, policies: 0, namespaces: 1, kinds: 1, localPods: 10 }, (world, maker) => {
    for (let index = 0; index < 6000; index++) {
      const port = 80 + (index % 5);
      const traffic = [{ protocol: protocols.tcp, ports: { first: port, last: port } }];
      put(world, { ...maker.policy("ns0"), ingress: [{ action: "allow", source: peer(index), traffic }] });
    }
  });

const put = (world: World, policy: Policy): void => void world.policies.set(policyName(policy.id), policy);

function timed(
  what: string,
  count: number,
  happen: () => Partial<PolicyModelChange>,
  compiler: PolicyCompiler,
  judged = true,
): Figure {
  let changed = 0;
  const times = Array.from({ length: count }, () => {
    const change = happen();
    const { taken, result } = milliseconds(() => compiler.update(change));
    changed += rowsIn(result);
    return taken;
  });
  const { p50, p99, maximum } = summarize(times);
  const value = `p50 ${p50.toFixed(3)}, p99 ${p99.toFixed(2)}, most ${maximum.toFixed(1)} ms; ${(changed / count).toFixed(1)} rows`;
  return { what, value, ...(judged ? { reached: p50 <= goal.p50 && p99 <= goal.p99 } : {}) };
}

/** Processor time of the process: the machine may be busy with something else. */
function milliseconds<T>(work: () => T): { readonly taken: number; readonly result: T } {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return { taken: (user + system) / 1000, result };
}

const rowsIn = ({ addresses, networks: ranges, ports, decisions, verdicts }: PolicyChange): number =>
  addresses.size + (ranges?.length ?? 0) + ports.size + decisions.size + verdicts.size;

const sizes = ({ addresses, networks: ranges, ports, decisions }: PolicyState): string =>
  `${addresses.size} addresses, ${ranges.length} ranges, ${ports.size} ports, ${decisions.size} decisions`;

function memory(): number {
  Bun.gc(true);
  return heapSize() / 1e6;
}

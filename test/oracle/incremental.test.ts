import { expect, test } from "bun:test";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import type { Address } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { PolicyCompiler } from "../../src/compile/policy/compiler.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import type { PolicyModelChange } from "../../src/model/policy-inputs.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import { TestNetns } from "../support/netns.ts";
import { generateCase } from "./case.ts";
import { type ClusterChange, changed, generateChange } from "./change.ts";
import { attachedTo } from "./compiled.ts";
import { evaluate } from "./evaluate.ts";
import { flowText } from "./flow.ts";
import { FlowGenerator } from "./generate-flow.ts";
import { rulesetOf } from "./nft/interpret.ts";
import type { ClusterObjects } from "./objects.ts";
import { droppedBy, policyOptions, type Rulesets } from "./rendered.ts";
import { deleteObject, putObject, twillModel } from "./twill-model.ts";

/** Clusters; TWILL_ORACLE_CASES for more. TWILL_SEED repeats one. */
const cases = Number(process.env.TWILL_ORACLE_CASES ?? 4);
const stepsEach = 25;
const flowsEach = 40;

/** One node's policy in a namespace of its own, kept as an agent keeps it: each change is one transaction. */
class PolicyNode {
  readonly #netns = new TestNetns();
  readonly #nft = openNft({ netns: this.#netns.fd });
  readonly #name: string;
  readonly #model: PolicyModel;
  #compiler: PolicyCompiler;
  #rendering = new PolicyRendering(policyOptions);
  readonly #keeper = new NftTableKeeper({ nft: this.#nft, log: silentLog, family: "inet", name: "twill" });
  #attached: ReadonlyMap<string, readonly Address[]> = new Map();

  constructor(name: string, model: PolicyModel) {
    this.#name = name;
    this.#model = model;
    this.#compiler = new PolicyCompiler(model, { node: name });
  }

  start(objects: ClusterObjects): void {
    this.#attach(objects);
    this.#compiler.update();
    this.#keeper.apply(this.#rendering.table(this.#compiler.state));
  }

  /** @returns how many transactions it took. */
  change(objects: ClusterObjects, change: Partial<PolicyModelChange>): number {
    const before = this.#nft.counters.transactions;
    this.#attach(objects);
    this.#keeper.patch(this.#rendering.change(this.#compiler.update(change)));
    return this.#nft.counters.transactions - before;
  }

  /** A compiler that knows nothing of the one before, with other numbers. */
  restart(objects: ClusterObjects): number {
    const before = this.#nft.counters.transactions;
    this.#compiler = new PolicyCompiler(this.#model, { node: this.#name });
    this.#rendering = new PolicyRendering(policyOptions);
    this.#attached = new Map();
    this.start(objects);
    return this.#nft.counters.transactions - before;
  }

  #attach(objects: ClusterObjects): void {
    const now = attachedTo(objects, this.#name);
    for (const pod of this.#attached.keys()) if (!now.has(pod)) this.#compiler.detach(pod);
    for (const [pod, addresses] of now) this.#compiler.attach(pod, addresses);
    this.#attached = now;
  }

  get ruleset(): ReturnType<typeof rulesetOf> {
    const content = this.#nft.read("inet", "twill");
    if (content === undefined) throw new Error("the table is gone");
    return rulesetOf(content);
  }

  close(): void {
    this.#nft.close();
    this.#netns.close();
  }
}

test("after every change of a running cluster the kernel's rules are what the oracle says, each change in one transaction", () => {
  const only = process.env.TWILL_SEED;
  const first = only === undefined ? Date.now() % 1e9 : Number(only);
  const count = only === undefined ? cases : 1;
  let [steps, asked] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const random = seededRandom(Math.imul(seed + 7, 0x9e3779b1));
    asked += runCluster(seed, random, (number) => {
      steps = Math.max(steps, number);
    });
  }
  console.log(`seeds ${first} to ${first + count - 1}: ${steps} changes each, ${asked} flows`);
  expect(asked).toBeGreaterThan(count * stepsEach);
}, 3_600_000);

function runCluster(seed: number, random: Random, progress: (step: number) => void): number {
  let { cluster: objects } = generateCase(seed, 0);
  const book = twillModel(objects);
  const nodes = objects.nodes.map(({ metadata: { name } }) => new PolicyNode(name, book.model));
  const names = objects.nodes.map(({ metadata }) => metadata.name);
  const history: string[] = [];
  let asked = 0;
  try {
    book.takeChange();
    for (const node of nodes) node.start(objects);
    for (let step = 1; step <= stepsEach; step++) {
      const change = generateChange(random, objects, step);
      history.push(change.what);
      objects = changed(objects, change);
      const transactions = putInForce(nodes, book, objects, change, random.below(12) === 0 ? history : undefined);
      if (transactions.some((made) => made > 1)) {
        throw new Error(`seed ${seed}, after ${history.join(", ")}: ${transactions.join(", ")} transactions`);
      }
      asked += compare(
        seed,
        history,
        objects,
        new Map(nodes.map((node, index) => [names[index] ?? "", node.ruleset])),
        random,
      );
      progress(step);
    }
  } finally {
    for (const node of nodes) node.close();
  }
  return asked;
}

function putInForce(
  nodes: readonly PolicyNode[],
  book: ReturnType<typeof twillModel>,
  objects: ClusterObjects,
  { put, gone }: ClusterChange,
  restarts: string[] | undefined,
): number[] {
  for (const object of gone) deleteObject(book, object);
  for (const object of put) putObject(book, object);
  const change = book.takeChange() ?? {};
  if (restarts === undefined) return nodes.map((node) => node.change(objects, change));
  restarts.push("agents restarted");
  return nodes.map((node) => node.restart(objects));
}

function compare(
  seed: number,
  history: readonly string[],
  objects: ClusterObjects,
  rulesets: Rulesets,
  random: Random,
): number {
  const generator = new FlowGenerator(random, objects);
  for (let index = 0; index < flowsEach; index++) {
    const flow = generator.next();
    if (flow === undefined) return index;
    const by = droppedBy(rulesets, objects, flow);
    const { verdict } = evaluate(objects, flow);
    if ((by === undefined) !== (verdict === "allow")) {
      throw new Error(
        `seed ${seed}, after ${history.join(", ")}: ${flowText(flow)}: ${verdict} says the oracle, ${by ?? "passes"}`,
      );
    }
  }
  return flowsEach;
}

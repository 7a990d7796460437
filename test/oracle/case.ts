import { seededRandom } from "../../src/base/random.ts";
import { evaluate, type Judgement, type Reason } from "./evaluate.ts";
import { type Flow, flowText, partyOf } from "./flow.ts";
import { generateCluster } from "./generate-cluster.ts";
import { FlowGenerator } from "./generate-flow.ts";
import { generatePolicies } from "./generate-policy.ts";
import { allObjects, type ClusterObjects } from "./objects.ts";
import { shrink } from "./shrink.ts";

/** A cluster with policies, and flows to ask for; a function of its seed. */
export interface Case {
  readonly seed: number;
  readonly cluster: ClusterObjects;
  readonly flows: readonly Flow[];
}

export function generateCase(seed: number, flowCount: number): Case {
  // xorshift's first numbers follow the seed closely, so that neighbours would look alike.
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1));
  for (let warm = 0; warm < 8; warm++) random.below(2);
  const bare = generateCluster(random);
  const cluster = { ...bare, policies: generatePolicies(random, bare) };
  const generator = new FlowGenerator(random, cluster);
  const flows = Array.from({ length: flowCount }, () => generator.next()).filter((flow) => flow !== undefined);
  return { seed, cluster, flows };
}

/** Whether something other than the oracle judges a flow of a cluster wrongly, and how: what it says instead. */
export type Check = (cluster: ClusterObjects, flow: Flow, judgement: Judgement) => string | undefined;

/** The smallest cluster for which `check` still complains, as text that says all that is needed to repeat it. */
export function describeFailure(seed: number, cluster: ClusterObjects, flow: Flow, check: Check): string {
  const complaint = (smaller: ClusterObjects): string | undefined => {
    // Without its namespace a pod would be denied for another reason.
    const known = new Set(smaller.namespaces.map(({ metadata }) => metadata.name));
    if (!smaller.pods.every(({ metadata }) => known.has(metadata.namespace))) return undefined;
    // Whoever an address belonged to may have been left out.
    const same = { ...flow, from: partyOf(smaller, flow.from.address), to: partyOf(smaller, flow.to.address) };
    return JSON.stringify(same) === JSON.stringify(flow) ? check(smaller, flow, evaluate(smaller, flow)) : undefined;
  };
  const smallest = shrink(cluster, (smaller) => complaint(smaller) !== undefined);
  return [
    `seed ${seed}: ${flowText(flow)}`,
    `oracle: ${judgementText(evaluate(smallest, flow))}`,
    `other:  ${complaint(smallest) ?? "agrees when asked again"}`,
    asYaml(smallest),
  ].join("\n");
}

export const asYaml = (cluster: ClusterObjects): string =>
  allObjects(cluster)
    .map((object) => Bun.YAML.stringify(object, null, 2))
    .join("\n---\n");

export function judgementText({ verdict, egress, ingress }: Judgement): string {
  const side = (name: string, of: typeof egress) =>
    of === undefined ? [] : [`${name} ${of.verdict} by ${of.by.map(reasonText).join(" or ")}`];
  return [verdict, ...side("egress", egress), ...side("ingress", ingress)].join("; ");
}

const reasonText = (reason: Reason): string =>
  reason.by === "rule"
    ? `${reason.policy} rule ${reason.rule}`
    : reason.by === "isolated"
      ? `isolation by ${reason.policies.join(", ")}`
      : reason.by;

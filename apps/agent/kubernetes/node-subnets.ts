import type { Family } from "../../../src/base/address.ts";
import type { Log } from "../../../src/base/log.ts";
import { overlaps, type Prefix, prefixFamily } from "../../../src/base/prefix.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { ClusterNetwork, NetworkRange } from "../../../src/model/network.ts";
import { rangeList, rangeOf } from "../../../src/model/ranges.ts";
import { problemOf } from "../problem-of.ts";
import type { SubnetSource } from "../subnet-source.ts";
import type { ClusterNodes, OtherNode } from "./cluster-nodes.ts";
import type { OwnNode } from "./own-node.ts";

export interface NodeSubnetsOptions {
  readonly nodes: ClusterNodes;
  /** What the node had before its agent was restarted: in force until the API server has said otherwise. */
  readonly previous: readonly Prefix[];
  readonly log: Log;
  readonly onChange: () => void;
}

interface Assessment {
  readonly subnets: readonly Prefix[];
  readonly problems: readonly Problem[];
  readonly waitingFor: readonly string[];
}

/**
 * spec.podCIDRs of this node's Node, as flanneld --kube-subnet-mgr takes them. They may come late (the kubelet registers,
 * kube-controller-manager assigns afterwards), and differ when a Node is deleted and comes back: both are followed.
 */
export class NodeSubnets implements SubnetSource {
  readonly name: string;
  readonly #options: NodeSubnetsOptions;
  #network: ClusterNetwork | undefined;
  #current: Assessment;

  constructor(options: NodeSubnetsOptions) {
    this.#options = options;
    this.name = `spec.podCIDRs of Node ${options.nodes.name}`;
    this.#current = { subnets: options.previous, problems: [], waitingFor: [] };
    options.nodes.subscribe(() => this.#look());
  }

  get subnets(): readonly Prefix[] {
    return this.#current.subnets;
  }
  /** A Node's podCIDRs never change while it lives. */
  readonly draining: readonly Prefix[] = [];
  get problems(): readonly Problem[] {
    return this.#current.problems;
  }
  get waitingFor(): readonly string[] {
    return this.#current.waitingFor;
  }

  setNetwork(network: ClusterNetwork): void {
    this.#network = network;
    this.#look();
  }

  /** Nothing was claimed. */
  releaseSurplus(): Promise<void> {
    return Promise.resolve();
  }

  stop(): void {}

  #look(): void {
    const network = this.#network;
    if (network === undefined) return;
    const before = this.#current;
    const { nodes, log, onChange } = this.#options;
    this.#current =
      nodes.own === undefined
        ? without(nodes, network, before.subnets)
        : assess(network, nodes.name, nodes.own, nodes.others);
    const { subnets } = this.#current;
    if (subnets.join() !== before.subnets.join()) log.info("subnets of the Node", { subnets: subnets.join() });
    if (JSON.stringify(this.#current) !== JSON.stringify(before)) onChange();
  }
}

/** While the Node is not known the network of before holds; without a Node no pod is added, and those that run stay reachable from here. */
function without(nodes: ClusterNodes, network: ClusterNetwork, before: readonly Prefix[]): Assessment {
  const subnets = before.filter((subnet) => rangeOf(network, subnet) !== undefined);
  if (!nodes.known) {
    const enough = subnets.length === rangeList(network).length;
    return { subnets, problems: [], waitingFor: enough ? [] : ["the Nodes from the API server"] };
  }
  const problem: Problem = {
    severity: "error",
    subject: nodes.name,
    reason: "NodeMissing",
    message: `there is no Node ${nodes.name}`,
    remedy: "wait for its kubelet to register, or restart it; if it has another name, set the agent's --node-name",
  };
  return { subnets, problems: [problem], waitingFor: [`the Node ${nodes.name}`] };
}

/** What of the podCIDRs can be in force, and what is wrong with them. */
export function assess(network: ClusterNetwork, name: string, own: OwnNode, others: Iterable<OtherNode>): Assessment {
  const subnets: Prefix[] = [];
  const problems: Problem[] = own.errors.map((error) => ({ ...problemOf(name, error), reason: "NodeInvalid" }));
  const waitingFor: string[] = [];
  const refuse = (problem: Problem, wanted: string) => {
    problems.push(problem);
    waitingFor.push(wanted);
  };
  for (const [family, range] of rangeList(network)) {
    const subnet = own.podCidrs.find((candidate) => prefixFamily(candidate) === family);
    if (subnet === undefined) refuse(missing(name, family, range), `an IPv${family} podCIDR of Node ${name}`);
    else if (rangeOf(network, subnet) === undefined)
      refuse(outside(name, subnet, range), `a podCIDR of Node ${name} inside ${range.network}`);
    else subnets.push(subnet);
  }
  const overlapping = findOverlaps(subnets, others);
  for (const [subnet, other] of overlapping) {
    const problem = overlap(name, subnet, other);
    // The others send its addresses to the first by name (compile/claims.ts): new pods here would not be reached.
    if (other.managed && other.name < name) refuse(problem, `a podCIDR of Node ${name} that no other Node has`);
    else problems.push(problem);
  }
  return { subnets, problems, waitingFor };
}

/** At most some: a cluster that was given the same podCIDR everywhere is told so by a few. */
const mostOverlaps = 5;

function findOverlaps(subnets: readonly Prefix[], others: Iterable<OtherNode>): (readonly [Prefix, OtherNode])[] {
  const found: (readonly [Prefix, OtherNode])[] = [];
  for (const other of others) {
    const twin = subnets.find((subnet) => other.podCidrs.some((candidate) => overlaps(subnet, candidate)));
    if (twin !== undefined) found.push([twin, other]);
  }
  return found.sort(([, a], [, b]) => (a.name < b.name ? -1 : 1)).slice(0, mostOverlaps);
}

const missing = (name: string, family: Family, range: NetworkRange): Problem => ({
  severity: "error",
  subject: name,
  reason: "PodCIDRMissing",
  message: `Node ${name} has no IPv${family} podCIDR`,
  remedy: `run kube-controller-manager with --allocate-node-cidrs=true --cluster-cidr=${range.network} (kubeadm: --pod-network-cidr), or the agents with --subnets=claim`,
});

const outside = (name: string, subnet: Prefix, range: NetworkRange): Problem => ({
  severity: "error",
  subject: name,
  reason: "PodCIDROutsideNetwork",
  message: `podCIDR ${subnet} of Node ${name} is outside the cluster's network ${range.network}`,
  remedy:
    "set Network in net-conf.json to kube-controller-manager's --cluster-cidr, or delete the Node and restart its kubelet to have another podCIDR assigned",
});

const overlap = (name: string, subnet: Prefix, other: OtherNode): Problem => ({
  severity: "error",
  subject: name,
  reason: "PodCIDROverlaps",
  message: `podCIDR ${subnet} of Node ${name} overlaps ${other.podCidrs.join(", ")} of Node ${other.name}`,
  remedy:
    "delete one of the Nodes and restart its kubelet, so that another podCIDR is assigned; its pods must be made anew",
});

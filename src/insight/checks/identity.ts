import { familyOf } from "../../base/address.ts";
import { overlaps } from "../../base/prefix.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { nameOf } from "../kernel-view.ts";
import { lookupRoute } from "../route-lookup.ts";

/** Whether this node's place in the cluster is its own. */
export function checkLease({ node, agent, lease }: NodeFacts): Finding[] {
  const head = { id: "lease-stolen", severity: "error", node } as const;
  const findings: Finding[] = [];
  if (lease?.id !== undefined && agent.identity !== undefined && lease.id !== agent.identity) {
    findings.push({
      ...head,
      subject: node,
      title: `another machine has the name ${node} in the cluster`,
      explanation: "the other nodes send the packets for this node's pods to that machine",
      evidence: [
        `the lease is of machine ${lease.id} at ${lease.addresses.join(", ")}; this is machine ${agent.identity}`,
      ],
      remedy: `give one of them another name (--node-name); if the other one is gone for good: twill delete node ${node}`,
    });
  }
  const subnets = agent.state?.own.subnets ?? lease?.subnets ?? [];
  for (const [other, claim] of agent.leases) {
    if (other === node) continue;
    for (const subnet of claim.subnets) {
      const own = subnets.find((candidate) => overlaps(candidate, subnet));
      if (own === undefined) continue;
      findings.push({
        ...head,
        subject: `${[node, other].sort().join(" ")} ${own}`,
        title: `${other} claims ${subnet}, and this node has ${own}`,
        explanation:
          "the other nodes send packets for these addresses to one of the two: pods of the other one are not reached",
        evidence: [`lease of ${other}: ${claim.subnets.join(", ")}, at ${claim.addresses.join(", ")}`],
        remedy: `if ${other} is gone: twill delete node ${other}; else stop its agent, take its subnet out of the datastore, and start it: it claims another`,
      });
    }
  }
  return findings;
}

/** Whether the others are given the address by which they reach this node. */
export function checkInterface({ node, view, agent, lease }: NodeFacts): Finding[] {
  if (lease === undefined) return [];
  const { kernel } = view;
  const head = { id: "wrong-interface", severity: "error", node, subject: node } as const;
  const remedy = "start the agent with --iface NAME, --iface-regex or --iface-can-reach ADDRESS-OF-ANOTHER-NODE";
  const peers = [...agent.leases].filter(([other]) => other !== node);
  for (const [other, { addresses }] of peers) {
    const shared = addresses.find((address) => lease.addresses.includes(address));
    if (shared === undefined) continue;
    return [
      {
        ...head,
        title: `${node} and ${other} tell the cluster one address, ${shared}`,
        explanation:
          "all nodes that stand behind such an interface (NAT, often 10.0.2.15) have one address there: nobody can be told apart",
        evidence: [`lease of ${node}: ${lease.addresses.join(", ")}`, `lease of ${other}: ${addresses.join(", ")}`],
        remedy,
      },
    ];
  }
  for (const address of lease.addresses) {
    const own = kernel.addresses.find((one) => one.address === address);
    const others = peers.flatMap(([, { addresses }]) => addresses.filter((one) => familyOf(one) === familyOf(address)));
    const elsewhere = others.filter((one) => {
      const { found } = lookupRoute(kernel, { destination: one });
      return own === undefined || (found?.device !== undefined && found.device !== own.device);
    });
    if (elsewhere.length === 0 || elsewhere.length * 2 <= others.length) continue;
    const [first] = elsewhere;
    const way = first === undefined ? undefined : lookupRoute(kernel, { destination: first }).found;
    return [
      {
        ...head,
        title:
          own === undefined
            ? `the address that ${node} tells the cluster, ${address}, is on none of its devices`
            : `the agent took ${nameOf(kernel, own.device)} for the way to the other nodes, and it is ${nameOf(kernel, way?.device)}`,
        explanation: "the other nodes send to an address by which this node is not reached",
        evidence: [
          `lease: ${address}${own === undefined ? "" : ` on ${nameOf(kernel, own.device)}`}`,
          `${elsewhere.length} of ${others.length} other nodes are reached by ${nameOf(kernel, way?.device)}`,
        ],
        remedy,
      },
    ];
  }
  return [];
}

export function checkAgent({ node, agent }: NodeFacts): Finding[] {
  const findings: Finding[] = [];
  if (agent.waitingFor.length > 0) {
    findings.push({
      id: "agent-not-ready",
      severity: "error",
      node,
      subject: node,
      title: `the agent of ${node} is not ready`,
      explanation: "no pod can be added to this node",
      evidence: agent.waitingFor.map((what) => `waiting for ${what}`),
      remedy: "twill status, on that node, tells more",
    });
  }
  if (agent.pluginVersion !== undefined && agent.pluginVersion !== agent.version) {
    findings.push({
      id: "version",
      severity: "warning",
      node,
      subject: `${node} plugin`,
      title: "agent and CNI plugin are of different versions",
      explanation: "they are replaced together; a mixture is not tested",
      evidence: [`agent ${agent.version}, plugin ${agent.pluginVersion}`],
      remedy: "twill install-cni, or let the DaemonSet's init container run again",
    });
  }
  return findings;
}

/** What the agent itself complains of, where no check found the cause. */
export function agentProblems({ node, agent }: NodeFacts): Finding[] {
  return agent.problems.map(({ severity, subject, message, remedy }) => ({
    id: "agent-problem",
    severity: severity === "error" ? "error" : "warning",
    node,
    subject,
    title: `${subject}: ${message}`,
    explanation: "the agent of the node says so",
    evidence: [],
    remedy,
  }));
}

/**
 * Each breaks one rule of reading, compiling or rendering policy, once. `npm run mutations` applies them one by one in a copy of the tree
 * and sees some test fail; what survives is a rule that no test holds.
 */
export interface Mutation {
  /** The rule that is broken. */
  readonly rule: string;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

const intent = (file: string, rule: string, from: string, to: string): Mutation => ({
  rule,
  file: `src/intent/kubernetes/${file}.ts`,
  from,
  to,
});
const compile = (file: string, rule: string, from: string, to: string): Mutation => ({
  rule,
  file: `src/compile/policy/${file}.ts`,
  from,
  to,
});
const render = (file: string, rule: string, from: string, to: string): Mutation => ({
  rule,
  file: `src/render/policy/${file}.ts`,
  from,
  to,
});

export const mutations: readonly Mutation[] = [
  // What is written, read.
  intent(
    "network-policy",
    "Ingress always counts where no types are named",
    'isolatesEgress ? policyTypes : ["Ingress"]',
    'isolatesEgress ? ["Egress"] : ["Ingress"]',
  ),
  intent(
    "network-policy",
    "egress rules isolate for egress where no types are named",
    "egress !== undefined && itemsOf(egress).length > 0;",
    "false;",
  ),
  intent(
    "network-policy",
    "an empty list of egress rules names no type",
    "egress !== undefined && itemsOf(egress).length > 0;",
    "egress !== undefined;",
  ),
  intent(
    "network-policy",
    "policyTypes decide which rules count",
    '...(types.has("Egress") && { egress }),',
    "egress,",
  ),
  intent("network-policy", "an empty list of peers is everyone", "if (items.length === 0) return undefined;", ""),
  intent(
    "network-policy",
    "an empty list of ports is all of them",
    "ports.length > 0 && { traffic }",
    "portsPlace !== undefined && { traffic }",
  ),
  intent(
    "network-policy",
    "podSelector alone is of the policy's own namespace",
    "namespaces === undefined ? podsOf(namespace, labels)",
    'namespaces === undefined ? podsIn({ op: "all" }, labels)',
  ),
  intent(
    "network-policy",
    "both selectors of one peer must match",
    "podsIn(readLabelSelector(namespaces, reading), labels)",
    "podsIn(readLabelSelector(namespaces, reading), undefined)",
  ),
  intent(
    "network-policy",
    "a policy selects in its own namespace only",
    "const podsOf = (namespace: string, labels: Selector | undefined): EndpointMatch => ({\n  namespace,",
    "const podsOf = (_namespace: string, labels: Selector | undefined): EndpointMatch => ({",
  ),
  intent("network-policy", "a pod's own node is always allowed", "allowsOwnNode: true", "allowsOwnNode: false"),
  intent(
    "network-policy",
    "ingress peers are sources",
    'direction === "ingress" ? { source: peer } : { destination: peer }',
    'direction === "ingress" ? { destination: peer } : { source: peer }',
  ),
  intent(
    "ports",
    "a port without a protocol is TCP's",
    'protocolPlace === undefined ? "TCP"',
    'protocolPlace === undefined ? "UDP"',
  ),
  intent(
    "ports",
    "endPort ends the range",
    "const last = end === undefined ? first : readPortNumber(end);",
    "const last = first;",
  ),
  intent("ports", "SCTP is not TCP", "SCTP: protocols.sctp,", "SCTP: protocols.tcp,"),
  intent("networks", "except is left out", "{ networks: [cidr], except }", "{ networks: [cidr], except: [] }"),
  intent(
    "label-selector",
    "Exists",
    'return operator === "Exists" ? has : { op: "not", of: has };',
    'return operator === "Exists" ? { op: "not", of: has } : has;',
  ),
  intent("label-selector", "NotIn is not In", 'op: operator === "In" ? "in" : "not-in"', 'op: "in"'),
  intent(
    "label-selector",
    "all labels and expressions must hold",
    '{ op: "and", of: selectors }',
    '{ op: "or", of: selectors }',
  ),
  intent("namespace", "every namespace has its name as a label", "{ ...labels, [NAME_LABEL]: name }", "labels"),
  intent(
    "pod",
    "pods on the host's network are no endpoints",
    'if (host?.node.kind === "boolean" && host.node.value) return undefined;',
    "",
  ),
  intent("pod", "completed pods own no address", 'phase === "Succeeded" || phase === "Failed"', 'phase === "Failed"'),
  intent(
    "pod",
    "ports of sidecars have names too",
    'starts && (restart === undefined || readText(restart) !== "Always")',
    "starts",
  ),
  intent(
    "pod",
    "init containers that end have none",
    'starts && (restart === undefined || readText(restart) !== "Always")',
    "false",
  ),
  intent(
    "pod",
    "a container port without a protocol is TCP's",
    'protocol === undefined ? "TCP"',
    'protocol === undefined ? "UDP"',
  ),
  intent(
    "cluster-network-policy",
    "Admin is asked before NetworkPolicy",
    'Admin: "kube-admin"',
    'Admin: "kube-baseline"',
  ),
  intent("cluster-network-policy", "Baseline is asked last", 'Baseline: "kube-baseline"', 'Baseline: "kube-admin"'),
  intent("cluster-network-policy", "Deny denies", 'Deny: "deny"', 'Deny: "pass"'),
  intent("cluster-network-policy", "Pass goes on", 'Pass: "pass"', 'Pass: "allow"'),
  intent(
    "cluster-network-policy",
    "without ingress rules ingress is left alone",
    "...(ingress.length > 0 && { ingress }),",
    "ingress,",
  ),
  intent(
    "cluster-network-policy",
    "what is not understood accepts nothing",
    'action === "allow" ? { action, ...about, traffic: [] }',
    'action === "allow" ? { action, ...about }',
  ),
  intent(
    "cluster-network-policy",
    "what is not understood denies all, Pass too",
    ': { action: "deny", ...about };\n  const known',
    ": { action, ...about };\n  const known",
  ),
  intent(
    "cluster-network-policy",
    "NetworkPolicy alone exempts the own node",
    "allowsOwnNode: false",
    "allowsOwnNode: true",
  ),
  // Tiers, policies and rules in their order.
  {
    rule: "tiers go by order",
    file: "src/model/policy.ts",
    from: "a.order - b.order || compareText(a.name, b.name);",
    to: "b.order - a.order || compareText(a.name, b.name);",
  },
  {
    rule: "policies go by order",
    file: "src/model/policy.ts",
    from: "(a.order === b.order ? 0 : a.order - b.order) ||",
    to: "",
  },
  {
    rule: "policies of one order go by name",
    file: "src/model/policy.ts",
    from: "compareText(policyName(a.id), policyName(b.id));",
    to: "compareText(policyName(b.id), policyName(a.id));",
  },
  {
    rule: "NetworkPolicy isolates",
    file: "src/model/policy.ts",
    from: 'name: "default", order: 1_000_000, defaultAction: "deny"',
    to: 'name: "default", order: 1_000_000, defaultAction: "pass"',
  },
  {
    rule: "Admin does not isolate",
    file: "src/model/policy.ts",
    from: 'name: "kube-admin", order: 1_000, defaultAction: "pass"',
    to: 'name: "kube-admin", order: 1_000, defaultAction: "deny"',
  },
  compile(
    "program",
    "policies count in their directions",
    "policies.filter((policy) => policy[direction] !== undefined)",
    "policies.filter(() => true)",
  ),
  compile(
    "program",
    "the own node is exempt from egress isolation",
    'policy.allowsOwnNode && this.#direction === "egress"',
    "policy.allowsOwnNode && false",
  ),
  compile(
    "program",
    "Pass leads to the next tier, not to the next rule",
    "step.next = this.#steps.length;",
    "step.next = start + 1;",
  ),
  compile(
    "program",
    "names of ingress ports are the endpoint's own",
    "known?.ports.filter((port) => port.name === name) ?? []",
    "this.#context.peerPorts(name)",
  ),
  compile(
    "program",
    "the peer is the source for ingress",
    'direction === "ingress" ? [source, destination] : [destination, source]',
    'direction === "egress" ? [source, destination] : [destination, source]',
  ),
  compile(
    "port-match",
    "a named port is of the protocol that is asked for",
    "(protocol === undefined || port.protocol === protocol)",
    "true",
  ),
  compile(
    "port-match",
    "a name means the peer's own port, for egress",
    '...(names.of === "peer" ? { namedPort: port } : {})',
    "",
  ),
  compile("port-classes", "the end of a range belongs to it", "[first, last + 1]", "[first, last]"),
  compile(
    "decide",
    "ports beside a range are not in it",
    "match.ports.first <= port && port <= match.ports.last",
    "match.ports.first <= port",
  ),
  compile("decider", "a step of another tier is not asked after a Pass", "state.from > place", "false"),
  compile("decider", "Pass ends its tier", 'else if (action === "pass") open.from = next;', ""),
  compile("claim", "except leaves out", "inside(leaf.networks) && !inside(leaf.except)", "inside(leaf.networks)"),
  compile(
    "claim",
    "nodes are chosen by their labels",
    "node !== undefined && matchesLabels(selector, node.labels)",
    "node !== undefined",
  ),
  compile(
    "selector",
    "an absent label matches not-in",
    '(value !== undefined && selector.values.includes(value)) === (selector.op === "in")',
    'value !== undefined && selector.values.includes(value) === (selector.op === "in")',
  ),
  compile(
    "selector",
    "all parts of an and must hold",
    "selector.of.every((one) => matchesLabels(one, labels))",
    "selector.of.some((one) => matchesLabels(one, labels))",
  ),
  compile(
    "selector",
    "the namespace must match",
    "(match.namespace === undefined || match.namespace === endpoint.namespace)",
    "true",
  ),
  compile(
    "selector",
    "the namespace's labels must match",
    "(match.namespaces === undefined || matchesLabels(match.namespaces, namespaceLabels))",
    "true",
  ),
  compile(
    "facts-in-use",
    "a port of that name must be that port",
    "const { name, protocol, port } = condition.port;",
    "const { name, protocol } = condition.port;\n    const port = 0;",
  ),
  compile(
    "trait-keeper",
    "only the own node is the own node",
    "if (claim.own) give(party, this.#facts.ownNode);",
    "give(party, this.#facts.ownNode);",
  ),
  compile(
    "decide",
    "what is excepted is not inside",
    "both(facts.get(fact) ?? outside, not(excepted))",
    "facts.get(fact) ?? outside",
  ),
  compile(
    "classes",
    "an address is judged by the networks around it, too",
    "new Set([...around, ...(this.#byNumber",
    "new Set([...(this.#byNumber",
  ),
  compile(
    "rows",
    "a class's rows are left out only where they say what is asked after them",
    "if (same(other, baseOther))",
    "if (true)",
  ),
  compile(
    "rows",
    "the reason is a part of what a row says",
    "JSON.stringify(a.reason) === JSON.stringify(b.reason)",
    "true",
  ),
  compile(
    "compiler",
    "every endpoint of the node has a row",
    "claimants.some(({ local }) => local)",
    "row.ingress !== 0 || row.egress !== 0",
  ),
  // Updates.
  compile(
    "local-groups",
    "a policy that goes is taken from whom it selected",
    "party.policies.delete(before.policy);\n        this",
    "this",
  ),
  compile("local-groups", "a new endpoint finds the policies that select it", "party.policies.add(filed.policy);", ""),
  compile(
    "trait-keeper",
    "a new condition finds who meets it",
    "for (const party of this.#having(trait)) {\n        give(party, trait);",
    "for (const party of this.#having(trait)) {",
  ),
  compile(
    "classes",
    "a network that comes moves the addresses within it",
    "if (this.#cellOf(place.address) === cell) this.#dirtyPlaces.add(place);",
    "this.#cellOf(place.address);",
  ),
  compile(
    "population",
    "a namespace's labels count for its endpoints",
    "for (const name of [...(this.#byNamespace.get(namespace) ?? [])]) this.#endpoint(name);",
    "this.#byNamespace.get(namespace);",
  ),
  compile(
    "decision-rows",
    "rows of a class that changed go",
    "for (const group of this.#groupsOf(this.#classes.get(number))) this.#drop(group, number);",
    "",
  ),
  // In the kernel.
  render("rows", "narrow ranges are as many keys", "{ length: last - first + 1 }", "{ length: last - first }"),
  render(
    "rows",
    "a denial drops",
    'decision.verdict === "allow" ? { verdict: "return" }',
    'decision.verdict !== undefined ? { verdict: "return" }',
  ),
  render(
    "rows",
    "a wide range has its last port",
    "{ key: key(first), keyEnd: key(last), data }",
    "{ key: key(first), keyEnd: key(last - 1), data }",
  ),
  render("rows", "networks are of one family", "familyOf(first) === family", "familyOf(first) === 4"),
  render(
    "evaluation",
    "class 0's rows stand for all",
    "none: [number(ofPeer, outsideClass)]",
    "none: [number(ofPeer, outsideClass + 7)]",
  ),
  render("evaluation", "a class's rows come before class 0's", '["class, anything else", ...rules.classAnything],', ""),
  render("evaluation", "what no row names is decided last", '["any class, anything else", ...rules.anyAnything],', ""),
  render(
    "evaluation",
    "the node without a row has a class of its own",
    "return [number(to, ownNodeClass)];",
    "return [number(to, outsideClass)];",
  ),
  render(
    "program",
    "the destination is judged",
    '["the destination is judged", ...judged("ingress", go("goto", receivedChain(family)))],',
    "",
  ),
  render("program", "the source is judged", '["source", judge("egress", "forward")],', ""),
  render(
    "policy-rendering",
    "a port's row that goes is taken out",
    "for (const element of elements) book.remove(set, elementKey(element));",
    "",
  ),
];

import type { ClusterPeer, ClusterProtocol, ClusterRule } from "../../oracle/objects.ts";
import type { ConformanceCase, MatrixCell } from "../case.ts";
import { oneStep } from "../case.ts";
import { clusterPolicy, inbound, ingressFrom, namespaceIs, networkPolicy, outbound, podIs } from "../standard.ts";

const everyone: ClusterPeer = { namespaces: {} };
const fromY: ClusterPeer = { namespaces: namespaceIs("y") };
const x = { namespaces: namespaceIs("x") };

const intoX = (name: string, rules: readonly ClusterRule[], allows: (cell: MatrixCell) => boolean): ConformanceCase =>
  oneStep(
    name,
    [clusterPolicy("Admin", 10, { subject: x, ingress: rules })],
    (cell) => cell.destination.namespace !== "x" || allows(cell),
  );
const outOfX = (name: string, rules: readonly ClusterRule[], allows: (cell: MatrixCell) => boolean): ConformanceCase =>
  oneStep(
    name,
    [clusterPolicy("Admin", 10, { subject: x, egress: rules })],
    (cell) => cell.source.namespace !== "x" || allows(cell),
  );
const denied = (...protocols: ClusterProtocol[]): ClusterRule => ({ action: "Deny", from: [everyone], protocols });

/** ClusterNetworkPolicy: tiers, order, actions, subjects, peers, protocols. */
export const clusterPolicyCases: readonly ConformanceCase[] = [
  intoX("Deny from a namespace, without isolating", [inbound("Deny", fromY)], ({ source }) => source.namespace !== "y"),
  intoX("Accept isolates nobody", [inbound("Accept", fromY)], () => true),
  intoX("no rules, no effect", [], () => true),
  intoX(
    "Deny of pods by both selectors",
    [inbound("Deny", { pods: { namespaceSelector: namespaceIs("y"), podSelector: podIs("a") } })],
    ({ from }) => from !== "y/a",
  ),
  intoX(
    "empty selectors of a pods peer are all pods",
    [inbound("Deny", { pods: { namespaceSelector: {}, podSelector: {} } })],
    () => false,
  ),
  intoX(
    "the first rule that matches counts: Accept before Deny",
    [inbound("Accept", fromY), inbound("Deny", everyone)],
    ({ source }) => source.namespace === "y",
  ),
  intoX(
    "the first rule that matches counts: Deny before Accept",
    [inbound("Deny", fromY), inbound("Accept", everyone)],
    ({ source }) => source.namespace !== "y",
  ),
  intoX(
    "any of several peers",
    [inbound("Deny", fromY, { pods: { namespaceSelector: {}, podSelector: podIs("c") } })],
    ({ source }) => source.namespace !== "y" && source.pod !== "c",
  ),
  outOfX("egress: Deny to a namespace", [outbound("Deny", fromY)], ({ destination }) => destination.namespace !== "y"),
  outOfX(
    "egress: Pass for pods before a Deny of everything",
    [outbound("Pass", fromY), outbound("Deny", { networks: ["0.0.0.0/0", "::/0"] })],
    ({ destination }) => destination.namespace === "y",
  ),
  outOfX(
    "egress: networks mean pods, too, family by family",
    [outbound("Deny", { networks: ["0.0.0.0/0"] })],
    ({ family }) => family === 6,
  ),
  oneStep(
    "subject by pods",
    [
      clusterPolicy("Admin", 1, {
        subject: { pods: { namespaceSelector: {}, podSelector: podIs("b") } },
        ingress: [inbound("Deny", everyone)],
      }),
    ],
    ({ destination }) => destination.pod !== "b",
  ),
  oneStep(
    "an empty subject is every pod",
    [clusterPolicy("Admin", 1, { subject: { namespaces: {} }, egress: [outbound("Deny", everyone)] })],
    () => false,
  ),
  oneStep(
    "a lower priority number comes first",
    [
      clusterPolicy("Admin", 7, { subject: x, ingress: [inbound("Deny", everyone)] }, "first-by-name"),
      clusterPolicy("Admin", 5, { subject: x, ingress: [inbound("Accept", fromY)] }, "second-by-name"),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  oneStep(
    "numbers are compared as numbers: 9 before 10, 0 before all",
    [
      clusterPolicy("Admin", 10, { subject: x, ingress: [inbound("Deny", everyone)] }),
      clusterPolicy("Admin", 9, { subject: x, ingress: [inbound("Accept", fromY)] }),
      clusterPolicy("Admin", 0, {
        subject: x,
        ingress: [inbound("Deny", { pods: { namespaceSelector: {}, podSelector: podIs("a") } })],
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || (source.namespace === "y" && source.pod !== "a"),
  ),
  oneStep(
    "an Admin Accept overrides a NetworkPolicy that denies",
    [
      networkPolicy("x", { podSelector: {} }),
      clusterPolicy("Admin", 1, { subject: x, ingress: [inbound("Accept", fromY)] }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  oneStep(
    "an Admin Deny overrides a NetworkPolicy that allows",
    [
      networkPolicy("x", { podSelector: {}, ingress: [{}] }),
      clusterPolicy("Admin", 1, { subject: x, ingress: [inbound("Deny", fromY)] }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace !== "y",
  ),
  oneStep(
    "an Admin Pass leaves it to NetworkPolicy, past the rest of its tier",
    [
      ingressFrom("x", { podSelector: {} }),
      clusterPolicy("Admin", 1, { subject: x, ingress: [inbound("Pass", { namespaces: namespaceIs("x") }, fromY)] }),
      clusterPolicy("Admin", 2, {
        subject: x,
        ingress: [inbound("Deny", { namespaces: namespaceIs("x") }), inbound("Accept", everyone)],
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace !== "y",
  ),
  oneStep(
    "what Admin accepts for the sender, the receiver's policy may still deny",
    [
      networkPolicy("y", { podSelector: {} }),
      clusterPolicy("Admin", 1, { subject: x, egress: [outbound("Accept", everyone)] }),
    ],
    ({ destination }) => destination.namespace !== "y",
  ),
  oneStep(
    "Baseline decides where no NetworkPolicy selects the pod",
    [
      networkPolicy("x", { podSelector: podIs("a"), ingress: [{ from: [{ namespaceSelector: namespaceIs("y") }] }] }),
      clusterPolicy("Baseline", 1, { subject: x, ingress: [inbound("Deny", fromY)] }),
    ],
    ({ to, source, destination }) =>
      destination.namespace !== "x" || (to === "x/a" ? source.namespace === "y" : source.namespace !== "y"),
  ),
  oneStep(
    "isolation for egress leaves ingress to Baseline",
    [
      networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"], egress: [{}] }),
      clusterPolicy("Baseline", 1, { subject: x, ingress: [inbound("Deny", fromY)] }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace !== "y",
  ),
  oneStep(
    "Baseline: order and Accept",
    [
      clusterPolicy("Baseline", 2, { subject: x, ingress: [inbound("Deny", everyone)] }),
      clusterPolicy("Baseline", 1, { subject: x, ingress: [inbound("Accept", fromY)] }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  oneStep(
    "a Pass in Baseline ends in allow",
    [clusterPolicy("Baseline", 1, { subject: x, ingress: [inbound("Pass", fromY), inbound("Deny", everyone)] })],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  oneStep(
    "a Pass in Admin leads to Baseline where no NetworkPolicy is",
    [
      clusterPolicy("Admin", 1, { subject: x, ingress: [inbound("Pass", fromY), inbound("Accept", everyone)] }),
      clusterPolicy("Baseline", 1, { subject: x, ingress: [inbound("Deny", everyone)] }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace !== "y",
  ),
  oneStep(
    "of the same priority the first by name counts (the API leaves it open)",
    [
      clusterPolicy("Admin", 5, { subject: x, ingress: [inbound("Deny", everyone)] }, "b"),
      clusterPolicy("Admin", 5, { subject: x, ingress: [inbound("Accept", fromY)] }, "a"),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  intoX(
    "one port of TCP",
    [denied({ tcp: { destinationPort: { number: 80 } } })],
    ({ protocol, port }) => protocol !== "TCP" || port !== 80,
  ),
  intoX(
    "a range of UDP",
    [denied({ udp: { destinationPort: { range: { start: 80, end: 81 } } } })],
    ({ protocol }) => protocol !== "UDP",
  ),
  intoX(
    "one port of SCTP",
    [denied({ sctp: { destinationPort: { number: 81 } } })],
    ({ protocol, port }) => protocol !== "SCTP" || port !== 81,
  ),
  intoX(
    "several protocols: any of them",
    [
      denied(
        { tcp: { destinationPort: { range: { start: 1, end: 80 } } } },
        { udp: { destinationPort: { number: 81 } } },
      ),
    ],
    ({ protocol, port }) => !((protocol === "TCP" && port === 80) || (protocol === "UDP" && port === 81)),
  ),
  intoX(
    "a named port: of whatever protocol it is on each pod",
    [denied({ destinationNamedPort: "web" })],
    ({ destination, protocol, port }) =>
      !(port === (destination.pod === "b" ? 81 : 80) && protocol === (destination.pod === "c" ? "UDP" : "TCP")),
  ),
  outOfX(
    "a named port of the destination, for egress",
    [{ action: "Deny", to: [everyone], protocols: [{ destinationNamedPort: "web" }] }],
    ({ destination, protocol, port }) =>
      !(port === (destination.pod === "b" ? 81 : 80) && protocol === (destination.pod === "c" ? "UDP" : "TCP")),
  ),
  intoX("a named port that nobody has matches nothing", [denied({ destinationNamedPort: "nobody" })], () => true),
  intoX(
    "an unknown peer: Accept matches nothing",
    [inbound("Accept", { unheardOf: {} }, everyone), inbound("Deny", fromY)],
    ({ source }) => source.namespace !== "y",
  ),
  intoX("an unknown peer: Deny denies all", [inbound("Deny", { unheardOf: {} })], () => false),
  intoX(
    "an unknown peer: Pass denies all",
    [inbound("Pass", { unheardOf: {} }), inbound("Accept", everyone)],
    () => false,
  ),
  outOfX(
    "names of domains fail closed",
    [outbound("Accept", { domainNames: ["example.com"] }), outbound("Deny", fromY)],
    ({ destination }) => destination.namespace !== "y",
  ),
];

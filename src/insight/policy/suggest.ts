import { type Address, familyOf, widthOf } from "../../base/address.ts";
import type { Flow, FlowEnd } from "../../model/flow.ts";
import { type Direction, type EndpointName, type Labels, type PolicyModel, protocols } from "../../model/policy.ts";
import { FlowEnds, packetOf } from "./flow-ends.ts";
import { protocolName } from "./traffic.ts";
import { stableLabels, type Workload, workloadsOf } from "./workloads.ts";

/** A NetworkPolicy as Kubernetes has it (networking.k8s.io/v1), as much of it as is suggested. */
export interface SuggestedPolicy {
  readonly apiVersion: "networking.k8s.io/v1";
  readonly kind: "NetworkPolicy";
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes: readonly ("Ingress" | "Egress")[];
    readonly ingress: readonly { readonly from?: readonly Peer[]; readonly ports?: readonly Port[] }[];
    readonly egress: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }[];
  };
}

interface LabelSelector {
  readonly matchLabels?: Labels;
}
type Peer =
  | { readonly namespaceSelector?: LabelSelector; readonly podSelector: LabelSelector }
  | { readonly ipBlock: { readonly cidr: string } };
interface Port {
  readonly protocol: string;
  readonly port: number;
}

export interface Suggestion {
  readonly policies: readonly SuggestedPolicy[];
  /** Flows that were counted, and for whom. */
  readonly seen: number;
  /** What a policy of this API cannot say, or what was left out, in words. */
  readonly notes: readonly string[];
}

/**
 * The least NetworkPolicies that let pass what these pods were seen to do: one a workload, both directions. Peers are said by labels, so
 * a pod that takes another's place may do the same; strangers by address.
 * @param subjects pods for whom policies are wanted. @param flows allowed ones count.
 */
export function suggestPolicies(
  model: PolicyModel,
  subjects: ReadonlySet<EndpointName>,
  flows: Iterable<Flow>,
): Suggestion {
  const drafts = draftsFor(model, subjects);
  const ofPod = new Map([...drafts].flatMap((draft) => draft.members.map((name) => [name, draft] as const)));
  const ends = new FlowEnds(model);
  const notes = new Set<string>();
  let seen = 0;
  for (const flow of flows) {
    if (
      flow.verdict !== "allow" ||
      packetOf(flow) === undefined ||
      !ends.isThere(flow.source) ||
      !ends.isThere(flow.destination)
    )
      continue;
    const sides = [
      ["egress", flow.source, flow.destination],
      ["ingress", flow.destination, flow.source],
    ] as const;
    for (const [direction, own, other] of sides) {
      const name = ends.pod(own);
      const draft = name === undefined ? undefined : ofPod.get(name);
      if (draft === undefined) continue;
      seen += Math.max(1, flow.count);
      const note = draft.add(direction, { own, other, flow, ends });
      if (note !== undefined) notes.add(note);
    }
  }
  for (const { namespace, members, selectsAll } of drafts) {
    if (selectsAll)
      notes.add(`${members.join(", ")}: no label stays, so the policy selects every pod of namespace ${namespace}`);
  }
  const more = [...drafts].flatMap(({ members }) => members.filter((name) => !subjects.has(name)));
  if (more.length > 0)
    notes.add(
      `the same labels select ${more.slice(0, 5).join(", ")}${more.length > 5 ? ` and ${more.length - 5} more` : ""}: what these do is allowed, too`,
    );
  return { policies: [...drafts].map((draft) => draft.policy()), seen, notes: [...notes] };
}

const policyPorts = new Map<number, string>(
  [protocols.tcp, protocols.udp, protocols.sctp].map((one) => [one, protocolName(one)]),
);

/** Of the subjects, and of all whom their policies would select as well: these must not be cut off by the way. */
function draftsFor(model: PolicyModel, subjects: ReadonlySet<EndpointName>): ReadonlySet<Draft> {
  const bySelector = Map.groupBy(workloadsOf(model), ({ namespace, members }) =>
    JSON.stringify([namespace, labelsOfPod(model, members[0])]),
  );
  const all = [...bySelector.values()].map((workloads) => new Draft(model, workloads));
  const wanted = new Set(all.filter(({ members }) => members.some((name) => subjects.has(name))));
  for (const draft of wanted) for (const other of all) if (draft.selects(other)) wanted.add(other);
  return wanted;
}

const labelsOfPod = (model: PolicyModel, name: EndpointName | undefined): Labels =>
  stableLabels((name === undefined ? undefined : model.endpoints.get(name)?.labels) ?? {});

interface SeenFlow {
  readonly own: FlowEnd;
  readonly other: FlowEnd;
  readonly flow: Flow;
  readonly ends: FlowEnds;
}

class Draft {
  readonly namespace: string;
  readonly members: readonly EndpointName[];
  readonly #model: PolicyModel;
  readonly #name: string;
  readonly #labels: Labels;
  /** By peer as JSON: its ports as JSON; "*" for everything. */
  readonly #rules = { ingress: new Map<string, Set<string>>(), egress: new Map<string, Set<string>>() };

  /** @param workloads of one namespace, with the same labels. */
  constructor(model: PolicyModel, workloads: readonly Workload[]) {
    this.#model = model;
    this.members = workloads.flatMap(({ members }) => members);
    this.namespace = workloads[0]?.namespace ?? "";
    this.#labels = labelsOfPod(model, this.members[0]);
    this.#name = workloads.length === 1 ? (workloads[0]?.name ?? "") : this.namespace;
  }

  get selectsAll(): boolean {
    return Object.keys(this.#labels).length === 0;
  }

  selects(other: Draft): boolean {
    return (
      this.namespace === other.namespace &&
      Object.entries(this.#labels).every(
        ([key, value]) => Object.hasOwn(other.#labels, key) && other.#labels[key] === value,
      )
    );
  }

  /** @returns a note, where the policy allows more than was seen. */
  add(direction: Direction, { own, other, flow, ends }: SeenFlow): string | undefined {
    const node = ends.node(other);
    const home = this.#model.endpoints.get(ends.pod(own) ?? "")?.node;
    if (node !== undefined && node === home) return undefined; // always allowed
    const peer = this.#peer(other, ends);
    if (peer === undefined) return undefined;
    const protocol = policyPorts.get(flow.protocol);
    const port =
      protocol === undefined || flow.port === undefined ? "*" : JSON.stringify({ protocol, port: flow.port });
    const rules = this.#rules[direction];
    const key = JSON.stringify(peer);
    rules.set(key, (rules.get(key) ?? new Set()).add(port));
    if (port !== "*") return undefined;
    return `${protocolName(flow.protocol)} between ${ends.name(own)} and ${ends.name(other)}: NetworkPolicy cannot name it, so everything is allowed between them`;
  }

  #peer(end: FlowEnd, ends: FlowEnds): Peer | undefined {
    if (end.kind === "many") return undefined;
    const pod = this.#model.endpoints.get(ends.pod(end) ?? "");
    if (pod === undefined) return { ipBlock: { cidr: hostCidr(end.address) } };
    const podSelector = selectorOf(pod.labels);
    return pod.namespace === this.namespace
      ? { podSelector }
      : { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": pod.namespace } }, podSelector };
  }

  policy(): SuggestedPolicy {
    return {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: `${safeName(this.#name)}-as-seen`, namespace: this.namespace },
      spec: {
        podSelector: selectorOf(this.#labels),
        policyTypes: ["Ingress", "Egress"],
        ingress: rulesOf(this.#rules.ingress).map(({ peers, ...ports }) => ({ from: peers, ...ports })),
        egress: rulesOf(this.#rules.egress).map(({ peers, ...ports }) => ({ to: peers, ...ports })),
      },
    };
  }
}

/** Peers with the same ports share a rule. */
function rulesOf(
  byPeer: ReadonlyMap<string, ReadonlySet<string>>,
): readonly { readonly peers: readonly Peer[]; readonly ports?: readonly Port[] }[] {
  const byPorts = new Map<string, string[]>();
  for (const [peer, ports] of [...byPeer].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = ports.has("*") ? "*" : JSON.stringify([...ports].sort());
    byPorts.set(key, [...(byPorts.get(key) ?? []), peer]);
  }
  return [...byPorts].map(([key, peers]) => ({
    peers: peers.map((peer) => JSON.parse(peer) as Peer),
    ...(key === "*"
      ? {}
      : {
          ports: (JSON.parse(key) as string[]).map((port) => JSON.parse(port) as Port).sort((a, b) => a.port - b.port),
        }),
  }));
}

function selectorOf(labels: Labels): LabelSelector {
  const matchLabels = stableLabels(labels);
  return Object.keys(matchLabels).length === 0 ? {} : { matchLabels };
}

const hostCidr = (address: Address): string => `${address}/${widthOf(familyOf(address))}`;

/** A name of an object (RFC 1123): a workload's may be made of labels. */
const safeName = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, "-")
    .replaceAll(/^[-.]+|[-.]+$/g, "")
    .slice(0, 200) || "pods";

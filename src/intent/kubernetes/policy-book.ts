import type { TwillError } from "../../base/errors.ts";
import { Interner } from "../../base/interner.ts";
import type { Problem } from "../../base/problem.ts";
import {
  type EndpointName,
  kubernetesTiers,
  type Labels,
  type Namespace,
  type Policy,
  type PolicyKind,
  type PolicyModel,
  type PolicyNode,
  policyName,
  type Tier,
  type WorkloadEndpoint,
} from "../../model/policy.ts";
import type { PolicyInputs, PolicyModelChange } from "../../model/policy-inputs.ts";
import { UnreadablePolicy } from "./broken-policy.ts";
import type { Warning } from "./reading.ts";
import { decodePod, idOf, type StoredPod, type StoredPolicy } from "./stored-object.ts";

type KubernetesPolicyKind = Extract<PolicyKind, "NetworkPolicy" | "ClusterNetworkPolicy">;

/**
 * The policy model of a cluster, kept from what its objects become, and which entries changed. A policy that cannot be understood keeps
 * its last good version; without one, the broken one stands in its place and denies (`brokenPolicy`).
 */
export class PolicyBook implements PolicyInputs {
  readonly #namespaces = new Map<string, Namespace>();
  readonly #endpoints = new Map<EndpointName, WorkloadEndpoint>();
  readonly #nodes = new Map<string, PolicyNode>();
  readonly #tiers = new Map<string, Tier>(kubernetesTiers.map((tier) => [tier.name, tier]));
  readonly #policies = new Map<string, Policy>();
  readonly #unreadable = new Map<string, UnreadablePolicy>();
  readonly #warnings = new Map<string, readonly Warning[]>();
  readonly #labels = new Interner<Labels>();
  readonly #texts = new Interner<string>();
  readonly #ports = new Interner<WorkloadEndpoint["ports"]>();
  #changed = noChange();

  readonly model: PolicyModel = {
    namespaces: this.#namespaces,
    endpoints: this.#endpoints,
    nodes: this.#nodes,
    tiers: this.#tiers,
    policies: this.#policies,
  };

  constructor() {
    for (const name of this.#tiers.keys()) this.#changed.tiers.add(name);
  }

  putNamespace(namespace: Namespace): void {
    put(this.#namespaces, namespace.name, namespace, this.#changed.namespaces);
  }

  deleteNamespace(name: string): void {
    remove(this.#namespaces, name, this.#changed.namespaces);
  }

  /** @param name "namespace/pod". Undefined: the pod is no endpoint, or gone. */
  putEndpoint(name: EndpointName, endpoint: WorkloadEndpoint | undefined): void {
    if (endpoint === undefined) remove(this.#endpoints, name, this.#changed.endpoints);
    else put(this.#endpoints, name, endpoint, this.#changed.endpoints);
  }

  putNode(node: PolicyNode): void {
    put(this.#nodes, node.name, node, this.#changed.nodes);
  }

  deleteNode(name: string): void {
    remove(this.#nodes, name, this.#changed.nodes);
  }

  putPolicy({ policy, warnings }: StoredPolicy): void {
    const name = policyName(policy.id);
    this.#unreadable.delete(name);
    if (warnings.length === 0) this.#warnings.delete(name);
    else this.#warnings.set(name, warnings);
    put(this.#policies, name, policy, this.#changed.policies);
  }

  /** @param stored its name in the store. */
  deletePolicy(kind: KubernetesPolicyKind, stored: string): void {
    const name = nameOf(kind, stored);
    this.#unreadable.delete(name);
    this.#warnings.delete(name);
    remove(this.#policies, name, this.#changed.policies);
  }

  /** As a Reflector tells it. Undefined: it can be understood again, or is gone. */
  noteUnreadable(kind: KubernetesPolicyKind, stored: string, error: TwillError | undefined): void {
    const name = nameOf(kind, stored);
    const known = this.#policies.get(name);
    if (error instanceof UnreadablePolicy) {
      this.#unreadable.set(name, error);
      if (known === undefined || known.broken !== undefined) {
        put(this.#policies, name, error.instead, this.#changed.policies);
      }
    } else if (error === undefined && this.#unreadable.delete(name) && known?.broken !== undefined) {
      remove(this.#policies, name, this.#changed.policies);
    }
  }

  /** A stored pod; what many pods have alike is kept once. @throws TwillError `invalid`. */
  decodePod(bytes: Uint8Array, stored: string): StoredPod {
    const { endpoint, uid } = decodePod(bytes, stored);
    if (endpoint === undefined) return uid === undefined ? {} : { uid };
    const text = (value: string) => this.#texts.intern(value, value);
    const { namespace, node, serviceAccount, labels, ports } = endpoint;
    return {
      ...(uid !== undefined && { uid }),
      endpoint: {
        ...endpoint,
        namespace: text(namespace),
        ...(node !== undefined && { node: text(node) }),
        ...(serviceAccount !== undefined && { serviceAccount: text(serviceAccount) }),
        labels: this.#labels.intern(JSON.stringify(labels), labels),
        ports: this.#ports.intern(JSON.stringify(ports), ports),
      },
    };
  }

  takeChange(): PolicyModelChange | undefined {
    const change = this.#changed;
    if (Object.values(change).every((names) => names.size === 0)) return undefined;
    this.#changed = noChange();
    return change;
  }

  /** What is wrong with policies, and what is most likely not meant, for the agent to report. Errors first. */
  problems(): readonly Problem[] {
    const errors = [...this.#unreadable].map(([name, error]) => problemOf(name, error, this.#policies.get(name)));
    const warnings = [...this.#warnings].flatMap(([name, each]) => each.map((warning) => warningOf(name, warning)));
    return [...errors, ...warnings];
  }
}

const noChange = () => ({
  namespaces: new Set<string>(),
  endpoints: new Set<EndpointName>(),
  nodes: new Set<string>(),
  tiers: new Set<string>(),
  policies: new Set<string>(),
});

/** Most reports of a kubelet change nothing here. */
function put<T>(all: Map<string, T>, name: string, value: T, changed: Set<string>): void {
  const known = all.get(name);
  if (known !== undefined && Bun.deepEquals(known, value, true)) return;
  all.set(name, value);
  changed.add(name);
}

function remove<T>(all: Map<string, T>, name: string, changed: Set<string>): void {
  if (all.delete(name)) changed.add(name);
}

const nameOf = (kind: KubernetesPolicyKind, stored: string): string => policyName({ kind, ...idOf(kind, stored) });

function problemOf(name: string, error: UnreadablePolicy, inForce: Policy | undefined): Problem {
  const kept = inForce !== undefined && inForce.broken === undefined;
  const consequence = kept
    ? "its last good version stays in force"
    : "what it selects is denied until it can be understood";
  return {
    severity: "error",
    subject: name,
    message: `${error.message}; ${consequence}`,
    remedy: error.remedy ?? "correct it",
    reason: "PolicyInvalid",
  };
}

const warningOf = (name: string, { path, message, remedy }: Warning): Problem => ({
  severity: "warning",
  subject: name,
  message: `${path}: ${message}`,
  remedy,
  reason: "PolicyDoubtful",
});

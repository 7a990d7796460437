import type { Clock } from "../../../src/base/clock.ts";
import type { TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Random } from "../../../src/base/random.ts";
import { parseStoreName, storeName } from "../../../src/intent/kubernetes/api-object.ts";
import { PolicyBook } from "../../../src/intent/kubernetes/policy-book.ts";
import {
  decodeNamespace,
  decodePolicy,
  type StoredPod,
  type StoredPolicy,
} from "../../../src/intent/kubernetes/stored-object.ts";
import type { EndpointName, Namespace } from "../../../src/model/policy.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import type { ObjectCache } from "../../../src/store/object-cache.ts";
import { type Delta, Reflector } from "../../../src/store/reflector.ts";
import { CLUSTER_NETWORK_POLICIES, NAMESPACES, NETWORK_POLICIES, PODS } from "../../kinds.ts";
import { problemOf, undecodableProblems } from "../problem-of.ts";

export interface PolicyCaches {
  readonly networkPolicies: ObjectCache;
  readonly clusterNetworkPolicies: ObjectCache;
  readonly namespaces: ObjectCache;
  readonly pods: ObjectCache;
}

export interface PolicySourcesOptions {
  readonly store: Datastore;
  readonly caches: PolicyCaches;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Something of the book, or of what is known, is other than before. */
  readonly onChange: () => void;
  /** A pod's object is other than before; the book does not have it yet. */
  readonly onPod: (name: EndpointName, before: StoredPod | undefined) => void;
}

type PolicyKind = Parameters<PolicyBook["deletePolicy"]>[0];

/** After the last policy, milliseconds: one that is replaced by deleting and making it must not make all agents list all pods again. */
const lingerMs = 60_000;

/**
 * What policy is made of, as the datastore has it. Policies are always watched; pods and namespaces of the whole cluster only
 * while there is a policy at all: a cluster without any pays nothing for this.
 */
export class PolicySources {
  readonly book = new PolicyBook();
  readonly #options: PolicySourcesOptions;
  readonly #policies: readonly Reflector<StoredPolicy>[];
  /** The caches of pods and namespaces are this run's, not as old as the last policy before this one. */
  #hasSelected = false;
  #selected: { readonly namespaces: Reflector<Namespace>; readonly pods: Reflector<StoredPod> } | undefined;
  #linger: AbortController | undefined;
  #closed = false;

  constructor(options: PolicySourcesOptions) {
    this.#options = options;
    const { networkPolicies, clusterNetworkPolicies } = options.caches;
    this.#policies = [
      this.#reflectPolicies("NetworkPolicy", NETWORK_POLICIES, networkPolicies),
      this.#reflectPolicies("ClusterNetworkPolicy", CLUSTER_NETWORK_POLICIES, clusterNetworkPolicies),
    ];
    this.#followSelected();
  }

  /** There is a policy, so it matters who is who. */
  get hasPolicies(): boolean {
    return this.book.model.policies.size > 0;
  }

  /** Pods and namespaces are followed. */
  get isSelecting(): boolean {
    return this.#selected !== undefined;
  }

  /**
   * `nothing`: some kind is not known at all. `cached`: some are as they were when the agent was last running. `fresh`: all have
   * been the datastore's in this run.
   */
  get knowledge(): "nothing" | "cached" | "fresh" {
    const states = this.#needed.map((reflector) => reflector?.state ?? "starting");
    if (states.includes("starting")) return "nothing";
    return states.includes("cached") ? "cached" : "fresh";
  }

  /** In words, what is not known. */
  get missing(): readonly string[] {
    return this.#needed.flatMap((reflector) =>
      reflector === undefined || reflector.state === "starting" ? [`the list of ${reflector?.kind ?? PODS}`] : [],
    );
  }

  get problems(): readonly Problem[] {
    const refused = this.#needed.flatMap((reflector) =>
      reflector?.error?.code === "denied" ? [problemOf(reflector.kind, reflector.error, "PolicyNotReadable")] : [],
    );
    const unreadable = [this.#selected?.namespaces, this.#selected?.pods].flatMap((reflector) =>
      reflector === undefined ? [] : undecodableProblems(reflector.undecodable),
    );
    return [...refused, ...this.book.problems(), ...unreadable];
  }

  podObject(name: EndpointName): StoredPod | undefined {
    const slash = name.indexOf("/");
    return this.#selected?.pods.get(storeName({ namespace: name.slice(0, slash), name: name.slice(slash + 1) }));
  }

  /** A look by name, for a pod that the watch has not told of. Undefined: there is none. @throws TwillError. */
  async fetchPod(name: EndpointName): Promise<StoredPod | undefined> {
    const slash = name.indexOf("/");
    const stored = storeName({ namespace: name.slice(0, slash), name: name.slice(slash + 1) });
    const found = await this.#options.store.get(PODS, stored);
    return found && this.book.decodePod(found.value, stored);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#linger?.abort();
    await Promise.all(this.#needed.map((reflector) => reflector?.close()));
  }

  get #needed(): readonly (Known | undefined)[] {
    if (!this.hasPolicies && this.#selected === undefined) return this.#policies;
    return [...this.#policies, this.#selected?.namespaces, this.#selected?.pods];
  }

  #reflectPolicies(kind: PolicyKind, stored: string, cache: ObjectCache): Reflector<StoredPolicy> {
    return this.#reflect<StoredPolicy>(stored, cache, (value, name) => decodePolicy(kind, value, name), {
      onChange: (deltas) => {
        for (const delta of deltas) {
          if (delta.type === "put") this.book.putPolicy(delta.value);
          else this.book.deletePolicy(kind, delta.name);
        }
        this.#followSelected();
      },
      onUndecodable: (name, error) => {
        this.book.noteUnreadable(kind, name, error);
        this.#followSelected();
      },
    });
  }

  /** Pods and namespaces are watched from the first policy on, until a while after the last. */
  #followSelected(): void {
    if (this.hasPolicies) {
      this.#linger?.abort();
      this.#linger = undefined;
      if (this.#selected === undefined && !this.#closed) this.#select();
      return;
    }
    if (this.#selected === undefined || this.#linger !== undefined) return;
    const linger = new AbortController();
    this.#linger = linger;
    void this.#options.clock.sleep(lingerMs, linger.signal).then(() => {
      if (!linger.signal.aborted && !this.#closed) this.#deselect();
    });
  }

  #select(): void {
    const { onPod } = this.#options;
    const { caches } = this.#options;
    if (this.#hasSelected) for (const cache of [caches.namespaces, caches.pods]) cache.clear();
    this.#hasSelected = true;
    this.#selected = {
      namespaces: this.#reflect(NAMESPACES, caches.namespaces, decodeNamespace, {
        onChange: (deltas) => {
          for (const delta of deltas) {
            if (delta.type === "put") this.book.putNamespace(delta.value);
            else this.book.deleteNamespace(delta.name);
          }
        },
      }),
      pods: this.#reflect(PODS, caches.pods, (value, name) => this.book.decodePod(value, name), {
        onChange: (deltas) => {
          for (const { name, previous } of deltas) onPod(endpointName(name), previous);
        },
      }),
    };
  }

  #deselect(): void {
    const selected = this.#selected;
    this.#selected = undefined;
    this.#linger = undefined;
    if (selected === undefined) return;
    for (const reflector of [selected.namespaces, selected.pods]) void reflector.close();
    for (const name of [...this.book.model.namespaces.keys()]) this.book.deleteNamespace(name);
    for (const [name, pod] of selected.pods.objects()) this.#options.onPod(endpointName(name), pod);
    this.#options.onChange();
  }

  #reflect<T>(
    kind: string,
    cache: ObjectCache,
    decode: (value: Uint8Array, name: string) => T,
    handlers: {
      readonly onChange: (deltas: readonly Delta<T>[]) => void;
      readonly onUndecodable?: (name: string, error: TwillError | undefined) => void;
    },
  ): Reflector<T> {
    const { store, clock, random, log, onChange } = this.#options;
    return new Reflector<T>({
      store,
      kind,
      decode,
      clock,
      random,
      log,
      cache,
      onChange: (deltas) => {
        handlers.onChange(deltas);
        onChange();
      },
      onState: () => onChange(),
      onUndecodable: (name, error) => {
        handlers.onUndecodable?.(name, error);
        onChange();
      },
    });
  }
}

type Known = Pick<Reflector<unknown>, "kind" | "state" | "error" | "close">;

const endpointName = (stored: string): EndpointName => {
  const { namespace = "", name } = parseStoreName("Pod", stored);
  return `${namespace}/${name}`;
};

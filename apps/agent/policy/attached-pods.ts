import type { Address } from "../../../src/base/address.ts";
import type { StoredPod } from "../../../src/intent/kubernetes/stored-object.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import type { EndpointName, WorkloadEndpoint } from "../../../src/model/policy.ts";
import type { PodRecord } from "../cni-service/pod-record.ts";

/** A pod's interface on this node, as CNI made it. */
export interface AttachedPod {
  readonly key: AttachmentKey;
  /** As CNI_ARGS named it. Without a name nobody can tell what it may do. */
  readonly pod: PodRecord["pod"];
  readonly addresses: readonly Address[];
}

/** Where the joined pods go. */
export interface EndpointSink {
  /** What is known of a pod; undefined: nothing, or it is gone. */
  putEndpoint(name: EndpointName, endpoint: WorkloadEndpoint | undefined): void;
  /** It is joined to this node with these addresses. Undefined: it is not. */
  attach(name: EndpointName, addresses: readonly Address[] | undefined): void;
}

interface Pod {
  readonly attached: Map<string, AttachedPod>;
  /** Asked for by name, while the watch has not told of it. */
  fetched: StoredPod | undefined;
  /** Names under which interfaces have been handed on. */
  handed: readonly EndpointName[];
}

/**
 * Joins pods' objects with what CNI attached on this node. By uid: the next pod of a StatefulSet has the same name, and must not be
 * judged by the labels of the one before it, nor the other way round. An interface whose pod nobody knows is handed on without
 * labels, and so denied: its object is late, or gone by force while its containers still run.
 */
export class AttachedPods {
  readonly #node: string;
  readonly #sink: EndpointSink;
  readonly #objectOf: (name: EndpointName) => StoredPod | undefined;
  /** Those with an interface here, and those about to have one; the cluster's others pass through. */
  readonly #pods = new Map<EndpointName, Pod>();
  readonly #names = new Map<string, EndpointName>();
  /** Pods that were detached here: their objects still name their addresses for a while, which may be others' by then. */
  readonly #gone = new Set<string>();

  /** @param objectOf what the watch knows of a pod. */
  constructor(node: string, objectOf: (name: EndpointName) => StoredPod | undefined, sink: EndpointSink) {
    this.#node = node;
    this.#objectOf = objectOf;
    this.#sink = sink;
  }

  get attached(): readonly AttachedPod[] {
    return [...this.#pods.values()].flatMap(({ attached }) => [...attached.values()]);
  }

  /** Pods with an interface here of which nothing is known. */
  get unknown(): readonly EndpointName[] {
    return [...this.#pods].flatMap(([name, pod]) => {
      const current = this.#currentOf(name, pod);
      return [...pod.attached.values()].some((each) => !isOf(current, each.pod.podUid)) ? [name] : [];
    });
  }

  /** What the pod may do is known: nothing needs to be asked before it is added. */
  knows(pod: PodRecord["pod"]): boolean {
    const name = endpointName(pod);
    if (name === undefined) return false;
    return isOf(this.#objectOf(name), pod.podUid) || isOf(this.#pods.get(name)?.fetched, pod.podUid);
  }

  /** The watch has news of it. @param before what the watch knew. Undefined: gone, completed, or not told of any more. */
  changed(name: EndpointName, before: StoredPod | undefined): void {
    const object = this.#objectOf(name);
    if (before?.uid !== undefined && before.uid !== object?.uid) this.#gone.delete(before.uid);
    const pod = this.#pods.get(name);
    if (pod === undefined) {
      this.#sink.putEndpoint(name, this.#endpointOf(object));
      return;
    }
    // The watch has caught up with what was asked for, or tells of a later pod.
    if (object !== undefined || before?.uid === pod.fetched?.uid) pod.fetched = undefined;
    this.#hand(name, pod);
  }

  /** What the API server answered, asked by name. */
  fetched(name: EndpointName, fetched: StoredPod): void {
    if (this.#objectOf(name)?.uid === fetched.uid) return;
    const pod = this.#pods.get(name) ?? { attached: new Map(), fetched, handed: [] };
    pod.fetched = fetched;
    this.#pods.set(name, pod);
    this.#hand(name, pod);
  }

  add(added: AttachedPod): void {
    const name = endpointName(added.pod) ?? `/${added.key.containerId}`;
    const pod = this.#pods.get(name) ?? { attached: new Map(), fetched: undefined, handed: [] };
    const id = idOf(added.key);
    pod.attached.set(id, added);
    this.#names.set(id, name);
    this.#pods.set(name, pod);
    this.#hand(name, pod);
  }

  /** Nothing happens for an interface that is not known. */
  remove(key: AttachmentKey): void {
    const id = idOf(key);
    const name = this.#names.get(id);
    const pod = name === undefined ? undefined : this.#pods.get(name);
    if (name === undefined || pod === undefined) return;
    const object = this.#objectOf(name);
    const uid = pod.attached.get(id)?.pod.podUid;
    this.#names.delete(id);
    pod.attached.delete(id);
    if (object?.uid !== undefined && isOf(object, uid)) this.#gone.add(object.uid);
    if (pod.attached.size === 0) pod.fetched = undefined;
    this.#hand(name, pod);
  }

  /** The one of that name that counts: of two, the later, which the watch has not told of yet. */
  #currentOf(name: EndpointName, pod: Pod): StoredPod | undefined {
    return pod.fetched ?? this.#objectOf(name);
  }

  #hand(name: EndpointName, pod: Pod): void {
    const current = this.#currentOf(name, pod);
    const handed = new Map<EndpointName, Address[]>();
    for (const { pod: named, key, addresses } of pod.attached.values()) {
      // What carries another pod's uid gets a name of its own, of which nothing is known.
      const as = current === undefined || isOf(current, named.podUid) ? name : `${name}/${key.containerId}`;
      handed.set(as, [...(handed.get(as) ?? []), ...addresses]);
    }
    this.#sink.putEndpoint(name, this.#endpointOf(current));
    for (const before of pod.handed) if (!handed.has(before)) this.#sink.attach(before, undefined);
    for (const [as, addresses] of handed) this.#sink.attach(as, addresses);
    pod.handed = [...handed.keys()];
    if (pod.attached.size === 0 && pod.fetched === undefined) this.#pods.delete(name);
  }

  #endpointOf(known: StoredPod | undefined): WorkloadEndpoint | undefined {
    const endpoint = known?.endpoint;
    if (endpoint === undefined || known?.uid === undefined || endpoint.node !== this.#node) return endpoint;
    return this.#gone.has(known.uid) ? { ...endpoint, addresses: [] } : endpoint;
  }
}

/** Undefined: the runtime did not say. */
export const endpointName = ({ podNamespace, podName }: PodRecord["pod"]): EndpointName | undefined =>
  podName === undefined || podNamespace === undefined ? undefined : `${podNamespace}/${podName}`;

const idOf = ({ network, containerId, ifname }: AttachmentKey): string => `${network}/${containerId}/${ifname}`;

/** The object is that pod's. A runtime that names no uid cannot tell pods of one name apart. */
const isOf = (known: StoredPod | undefined, podUid: string | undefined): boolean =>
  known?.endpoint !== undefined && (known.uid === undefined || podUid === undefined || known.uid === podUid);

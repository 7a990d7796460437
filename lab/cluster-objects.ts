import type { Address } from "../src/base/address.ts";
import { isCode } from "../src/base/errors.ts";
import type { Datastore } from "../src/store/datastore.ts";
import { openDatastore } from "../src/store/open.ts";
import type { PodIdentity } from "./pod.ts";
import { podAppPort } from "./pod-app.ts";

/** What the API server would have of a pod of the lab. */
export interface PodObject extends PodIdentity {
  readonly node: string;
  /** None yet: it is being added. */
  readonly addresses: readonly Address[];
}

interface Write {
  readonly kind: string;
  readonly name: string;
  /** undefined: it is deleted. */
  readonly object: object | undefined;
}

/** Milliseconds for which adding a pod waits for the datastore. */
const patienceMs = 2_000;
const retryMs = 500;

/**
 * Pods and namespaces as objects of Kubernetes, for policies select by them. A datastore that is away is told when it is
 * back: pods of the lab come and go meanwhile, and a pod that no API server knows of is one that policy must cope with.
 */
export class ClusterObjects {
  readonly #url: string;
  /** The newest of each object. */
  readonly #waiting = new Map<string, Write>();
  readonly #namespaces = new Set<string>();
  #writing: Promise<void> | undefined;

  constructor(datastoreUrl: string) {
    this.#url = datastoreUrl;
  }

  /** Resolves when it is stored, or after two seconds: then it is stored later. */
  async put(pod: PodObject): Promise<void> {
    const { namespace, name } = pod;
    if (!this.#namespaces.has(namespace)) {
      this.#namespaces.add(namespace);
      void this.#write({ kind: "namespaces", name: namespace, object: namespaceObject(namespace) });
    }
    await this.#write({ kind: "pods", name: `${namespace}.${name}`, object: podObject(pod) });
  }

  async delete({ namespace, name }: PodIdentity): Promise<void> {
    await this.#write({ kind: "pods", name: `${namespace}.${name}`, object: undefined });
  }

  #write(write: Write): Promise<unknown> {
    this.#waiting.set(`${write.kind}/${write.name}`, write);
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
    });
    return Promise.race([this.#writing, Bun.sleep(patienceMs)]);
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      try {
        // Opened for each burst: a file that is replaced while the lab runs is no matter. Never made: it may be away.
        const store = await openDatastore(this.#url, { create: false });
        try {
          for (const [key, write] of this.#waiting) {
            await carryOut(store, write);
            if (this.#waiting.get(key) === write) this.#waiting.delete(key);
          }
        } finally {
          await store.close();
        }
      } catch {
        await Bun.sleep(retryMs);
      }
    }
  }
}

async function carryOut(store: Datastore, { kind, name, object }: Write): Promise<void> {
  const stored = await store.get(kind, name);
  try {
    if (object === undefined) return stored && (await store.delete(kind, name));
    // What people have written of it stays: labels that they gave a namespace.
    if (stored !== undefined && kind === "namespaces") return;
    const value = new TextEncoder().encode(JSON.stringify(object));
    if (stored === undefined) await store.create(kind, name, value);
    else await store.update(kind, name, value, stored.revision);
  } catch (error) {
    if (!isCode(error, "conflict") && !isCode(error, "exists") && !isCode(error, "not-found")) throw error;
    await carryOut(store, { kind, name, object });
  }
}

const namespaceObject = (name: string): object => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
});

const podObject = ({ namespace, name, uid, labels, node, addresses }: PodObject): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace, name, uid, labels },
  spec: {
    nodeName: node,
    containers: [{ name: "web", ports: [{ name: "http", containerPort: podAppPort, protocol: "TCP" }] }],
  },
  status: {
    phase: addresses.length === 0 ? "Pending" : "Running",
    ...(addresses.length === 0 ? {} : { podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }),
  },
});

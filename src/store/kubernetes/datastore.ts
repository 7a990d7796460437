import { systemClock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import type {
  Capabilities,
  Datastore,
  Kind,
  Listing,
  Revision,
  StoredObject,
  WatchEvent,
  WriteOptions,
} from "../datastore.ts";
import { checkKind, checkName, checkTtl, checkWrite } from "../key.ts";
import type { ClusterAccess } from "./access.ts";
import { ApiError } from "./api-error.ts";
import { type ClientOptions, KubernetesClient } from "./client.ts";
import { ConfigMapKind } from "./config-map-kind.ts";
import { ConnectionError } from "./connection-error.ts";
import type { KindContext, KindStore, KindStoreFactory } from "./kind-store.ts";

export const kubernetesCapabilities: Capabilities = { ttl: false, compaction: true };
/** Where Twill's manifest puts what is Twill's. */
export const DEFAULT_NAMESPACE = "twill-system";

export interface KubernetesOptions extends Partial<ClientOptions> {
  /** Of the objects of kinds without a place of their own. */
  readonly namespace?: string;
  /** Kinds that lie elsewhere than in ConfigMaps of their own: annotations of Nodes, a ConfigMap that people know. */
  readonly kinds?: Readonly<Record<Kind, KindStoreFactory>>;
}

/** The Kubernetes API as a datastore. Opening asks nothing of the server: it may be away. */
export class KubernetesDatastore implements Datastore {
  readonly capabilities = kubernetesCapabilities;
  readonly client: KubernetesClient;
  readonly #context: KindContext;
  readonly #namespace: string;
  readonly #special: Readonly<Record<Kind, KindStoreFactory>>;
  readonly #kinds = new Map<Kind, KindStore>();
  readonly #closing = new AbortController();
  readonly #writing = new Set<Promise<unknown>>();

  constructor(access: ClusterAccess, options: KubernetesOptions = {}) {
    const { clock = systemClock, random = systemRandom, log = silentLog } = options;
    this.client = new KubernetesClient(access, { ...options, clock, random, log });
    this.#context = { client: this.client, clock, random, log };
    this.#namespace = options.namespace ?? DEFAULT_NAMESPACE;
    this.#special = options.kinds ?? {};
  }

  async list(kind: Kind): Promise<Listing> {
    checkKind(kind);
    return this.#named("list", kind, () => this.#kind(kind).list());
  }

  async get(kind: Kind, name: string): Promise<StoredObject | undefined> {
    checkName(kind, name);
    return this.#named("get", `${kind}/${name}`, () => this.#kind(kind).get(name));
  }

  async create(kind: Kind, name: string, value: Uint8Array, options: WriteOptions = {}): Promise<StoredObject> {
    checkWrite(kind, name, value, options.ttlSeconds);
    this.#refuseTtl(`${kind}/${name}`, options.ttlSeconds);
    const own = value.slice(); // the caller's buffer may change while the request waits its turn
    return this.#write(this.#named("create", `${kind}/${name}`, () => this.#kind(kind).create(name, own)));
  }

  async update(
    kind: Kind,
    name: string,
    value: Uint8Array,
    revision: Revision,
    options: WriteOptions = {},
  ): Promise<StoredObject> {
    checkWrite(kind, name, value, options.ttlSeconds);
    this.#refuseTtl(`${kind}/${name}`, options.ttlSeconds);
    const own = value.slice();
    return this.#write(this.#named("update", `${kind}/${name}`, () => this.#kind(kind).update(name, own, revision)));
  }

  async delete(kind: Kind, name: string, revision?: Revision): Promise<void> {
    checkName(kind, name);
    return this.#write(this.#named("delete", `${kind}/${name}`, () => this.#kind(kind).delete(name, revision)));
  }

  async renew(kind: Kind, name: string, ttlSeconds: number): Promise<void> {
    checkName(kind, name);
    checkTtl(kind, name, ttlSeconds);
    this.#refuseTtl(`${kind}/${name}`, ttlSeconds);
  }

  async *watch(
    kind: Kind,
    from: Revision,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<WatchEvent> {
    checkKind(kind);
    const closing = this.#closing.signal;
    const signal = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
    if (signal.aborted) return;
    try {
      for await (const event of this.#kind(kind).watch(from, signal)) {
        yield event;
        if (signal.aborted) return;
      }
    } catch (error) {
      throw named("watch", kind, error);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#writing);
  }

  #kind(kind: Kind): KindStore {
    if (this.#closing.signal.aborted) throw new TwillError("unavailable", "the datastore was closed");
    let store = this.#kinds.get(kind);
    if (store === undefined) {
      const factory = Object.hasOwn(this.#special, kind) ? this.#special[kind] : undefined;
      store = factory?.(kind, this.#context) ?? new ConfigMapKind(kind, this.#namespace, this.#context);
      this.#kinds.set(kind, store);
    }
    return store;
  }

  async #named<T>(operation: string, object: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw named(operation, object, error);
    }
  }

  #write<T>(writing: Promise<T>): Promise<T> {
    this.#writing.add(writing);
    const over = () => this.#writing.delete(writing);
    writing.then(over, over);
    return writing;
  }

  #refuseTtl(object: string, ttlSeconds: number | undefined): void {
    if (ttlSeconds === undefined) return;
    throw new TwillError("unsupported", "objects of the Kubernetes API have no time to live", { object });
  }
}

/** For what only Kubernetes has. @throws TwillError `unsupported` for a datastore of another engine. */
export function openKubernetesClient(store: Datastore): KubernetesClient {
  if (store instanceof KubernetesDatastore) return store.client;
  throw new TwillError("unsupported", "the datastore is not a Kubernetes API server");
}

/** In our own words, with what the API server or the connection said as the cause. */
function named(operation: string, object: string, error: unknown): unknown {
  if (!(error instanceof TwillError)) return error;
  const told = error instanceof ApiError || error instanceof ConnectionError || error.operation === undefined;
  if (!told) return error;
  const { code, message, remedy } = error;
  return new TwillError(code, message, { operation, object, cause: error, ...(remedy !== undefined && { remedy }) });
}

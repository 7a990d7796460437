import { isCode, TwillError } from "../../base/errors.ts";
import type { Listing, Revision, StoredObject, WatchEvent } from "../datastore.ts";
import type { Selection } from "./client.ts";
import { follow } from "./follow.ts";
import { asRevision, type KindContext, type KindStore, type KindStoreFactory } from "./kind-store.ts";
import type { KubernetesObject } from "./object.ts";
import { apiVersion, type Place, type Resource } from "./resource.ts";

export interface ResourceKindOptions {
  readonly namespaced: boolean;
  /** Of all namespaces; with field selectors the server does not even send the rest. */
  readonly selection?: Pick<Selection, "fieldSelector" | "labelSelector">;
  /**
   * What is kept of an object. Undefined: this one counts as absent. It is what is written into caches and compared to see whether
   * anything changed, so that a Pod's many reports of its state are no news.
   */
  readonly reduce: (object: KubernetesObject) => KubernetesObject | undefined;
  /** A definition that a cluster may lack (a custom resource): then there are none, and it is looked for now and then. */
  readonly optional?: boolean;
}

/**
 * A kind whose objects are Kubernetes' own, read only: people write them with kubectl. The value is the object as JSON without
 * what `reduce` left out; the name that of the object, with its namespace and a dot before it.
 */
export const inResource =
  (resource: Resource, options: ResourceKindOptions): KindStoreFactory =>
  (_, context) =>
    new ResourceKind(resource, options, context);

/** Between two looks for a resource that the server does not know; the later half is random. Milliseconds. */
const lookEveryMs = 60_000;
/** The revision of a list of a resource that the server does not know. */
const unknownResource = asRevision("no-such-resource");

class ResourceKind implements KindStore {
  readonly #resource: Resource;
  readonly #options: ResourceKindOptions;
  readonly #context: KindContext;

  constructor(resource: Resource, options: ResourceKindOptions, context: KindContext) {
    this.#resource = resource;
    this.#options = options;
    this.#context = context;
  }

  async list(): Promise<Listing> {
    const { client } = this.#context;
    try {
      const { items, resourceVersion } = await client.list<Reduced>(
        this.#resource,
        this.#options.selection,
        undefined,
        (object) => this.#reduce(object),
      );
      const objects = items.flatMap((item) => stored(item) ?? []);
      return { objects: objects.sort((a, b) => (a.name < b.name ? -1 : 1)), revision: asRevision(resourceVersion) };
    } catch (error) {
      if (!this.#isUnknown(error)) throw error;
      return { objects: [], revision: unknownResource };
    }
  }

  async get(name: string): Promise<StoredObject | undefined> {
    try {
      const found = await this.#context.client.get<KubernetesObject>(this.#resource, this.#placeOf(name));
      return stored(this.#reduce(found));
    } catch (error) {
      if (isCode(error, "not-found") || this.#isUnknown(error)) return undefined;
      throw error;
    }
  }

  create(): Promise<StoredObject> {
    return Promise.reject(this.#readOnly());
  }
  update(): Promise<StoredObject> {
    return Promise.reject(this.#readOnly());
  }
  delete(): Promise<void> {
    return Promise.reject(this.#readOnly());
  }

  /** A definition may be installed at any time, and nobody tells. */
  async #untilKnown(signal: AbortSignal): Promise<void> {
    const { client, clock, random } = this.#context;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs / 2 + random.below(lookEveryMs / 2), signal);
      try {
        if (!signal.aborted) await client.currentVersion(this.#resource, this.#options.selection ?? {}, signal);
        return;
      } catch (error) {
        if (!this.#isUnknown(error)) throw error;
      }
    }
  }

  async *watch(from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const { client } = this.#context;
    const selection = this.#options.selection ?? {};
    if (from === unknownResource) {
      await this.#untilKnown(signal);
      if (!signal.aborted) yield { type: "relist", reason: `the server knows ${this.#resource.plural} now` };
      return;
    }
    for await (const event of follow<KubernetesObject>(client, this.#resource, selection, from, {
      ...this.#context,
      signal,
    })) {
      if (event.type === "expired") {
        yield { type: "relist", reason: event.reason };
        continue;
      }
      const revision = asRevision(event.resourceVersion);
      if (event.type === "bookmark") {
        yield { type: "bookmark", revision };
        continue;
      }
      const object = event.type === "deleted" ? undefined : stored(this.#reduce(event.object));
      if (object !== undefined) yield { type: "put", object };
      else yield { type: "delete", name: nameOf(event.object), revision, expired: false };
    }
  }

  #reduce(object: KubernetesObject): Reduced {
    const { kind } = this.#resource;
    const kept = this.#options.reduce(object);
    const value =
      kept && new TextEncoder().encode(JSON.stringify({ ...kept, apiVersion: apiVersion(this.#resource), kind }));
    return { metadata: { name: nameOf(object), resourceVersion: object.metadata.resourceVersion ?? "" }, value };
  }

  /** A namespace's own name has no dot (RFC 1123 label). */
  #placeOf(name: string): Place {
    const dot = name.indexOf(".");
    return this.#options.namespaced ? { namespace: name.slice(0, dot), name: name.slice(dot + 1) } : { name };
  }

  #isUnknown(error: unknown): boolean {
    return this.#options.optional === true && isCode(error, "unsupported");
  }

  #readOnly(): TwillError {
    return new TwillError("unsupported", "objects of Kubernetes' API are only read here", {
      object: this.#resource.plural,
      remedy: "use kubectl",
    });
  }
}

/** Of an object, all that is kept while a list comes in. */
interface Reduced extends KubernetesObject {
  readonly value?: Uint8Array | undefined;
}

const stored = ({ metadata, value }: Reduced): StoredObject | undefined =>
  value && { name: metadata.name, value, revision: asRevision(metadata.resourceVersion) };

const nameOf = ({ metadata: { namespace, name } }: KubernetesObject): string =>
  namespace === undefined ? name : `${namespace}.${name}`;

import type { Clock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import { type Log, silentLog } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { ClusterAccess } from "./access.ts";
import { ApiError, type Asked, readStatus, refusal } from "./api-error.ts";
import { jsonLines } from "./json-lines.ts";
import { isObject, isRecord, type KubernetesObject, type ObjectEvent, type ObjectList } from "./object.ts";
import { describePlace, type Place, type Resource, resourcePath } from "./resource.ts";
import { Silence } from "./silence.ts";
import { type ApiRequest, Transport, type TransportOptions } from "./transport.ts";

/** Which objects of a resource. */
export interface Selection {
  /** Absent: those of all namespaces, or the resource has none. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** What must still be so for a deletion to happen. */
export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** RFC 7386, or Kubernetes' own that knows the keys of lists (not for custom resources). */
export type PatchType = "merge" | "strategic";

export interface ClientOptions extends Omit<TransportOptions, "clock" | "random"> {
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  /** A watch ends by itself after so many seconds, and up to as many more: servers that join get their share of the watches. */
  readonly watchSeconds?: number;
  /** A connection that is silent for longer is dead, milliseconds. */
  readonly longestSilence?: number;
}

/** Objects in one page of a list: what an API server encodes and we decode at once. */
const PAGE = 500;
const WATCH_SECONDS = 300;
/** Servers bookmark each minute (kube-apiserver 1.36: cacher.go, bookmarkFrequency): twice missed, the connection is dead. */
const LONGEST_SILENCE = 150_000;
/** meta/v1 InitialEventsAnnotationKey */
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

type Query = Record<string, string>;

/**
 * The Kubernetes API, as far as a pod network uses it. `T` is what the server is trusted to hold under that resource;
 * name and resource version are checked, other fields are the reader's to check. All methods throw ApiError for a
 * refusal, ConnectionError without an answer, and TwillError `corrupt` for an answer that is none.
 */
export class KubernetesClient {
  readonly #transport: Transport;
  readonly #options: ClientOptions;
  readonly #log: Log;
  /** The server lists by watch (KEP-3157, on in kube-apiserver from 1.34). Undefined until it was asked. */
  #streamsLists: boolean | undefined;

  constructor(access: ClusterAccess, options: ClientOptions) {
    this.#transport = new Transport(access, options);
    this.#options = options;
    this.#log = options.log ?? silentLog;
  }

  get access(): ClusterAccess {
    return this.#transport.access;
  }

  /** @throws TwillError `not-found`. */
  async get<T extends KubernetesObject>(resource: Resource, place: Place, signal?: AbortSignal): Promise<T> {
    return this.#object<T>(await this.#send("GET", "get", resource, place, { signal }));
  }

  /** @throws TwillError `exists`. */
  async create<T extends KubernetesObject>(resource: Resource, place: Place, body: T): Promise<T> {
    const { name: _, ...collection } = place;
    return this.#object<T>(await this.#send("POST", "create", resource, collection, { body, named: place }));
  }

  /** With a resource version in `body`: compare-and-swap (`conflict`). @throws TwillError `not-found`. */
  async update<T extends KubernetesObject>(resource: Resource, place: Place, body: T): Promise<T> {
    return this.#object<T>(await this.#send("PUT", "update", resource, place, { body }));
  }

  /** Changes the named fields alone; null removes one. With metadata.resourceVersion in it: compare-and-swap. */
  async patch<T extends KubernetesObject>(
    resource: Resource,
    place: Place,
    patch: unknown,
    type: PatchType = "merge",
  ): Promise<T> {
    const contentType = `application/${type === "merge" ? "merge-patch" : "strategic-merge-patch"}+json`;
    return this.#object<T>(await this.#send("PATCH", "patch", resource, place, { body: patch, contentType }));
  }

  /** @throws TwillError `conflict` when a precondition does not hold, `not-found`. */
  async delete(resource: Resource, place: Place, preconditions?: Preconditions): Promise<void> {
    const body = { apiVersion: "v1", kind: "DeleteOptions", ...(preconditions && { preconditions }) };
    await this.#send("DELETE", "delete", resource, place, { body });
  }

  /**
   * All as of one moment that is not before now. Streamed object by object where the server can, else in pages.
   * @param reduce leaves out of each object what the caller has no use for, as it comes: 30,000 whole Pods are half a gigabyte.
   */
  async list<T extends KubernetesObject>(
    resource: Resource,
    selection: Selection = {},
    signal?: AbortSignal,
    reduce: (object: T) => T = (object) => object,
  ): Promise<ObjectList<T>> {
    if (this.#streamsLists !== false) {
      const streamed = await this.#streamedList(resource, selection, signal, reduce);
      if (streamed !== undefined) return streamed;
    }
    for (;;) {
      const listed = await this.#pagedList(resource, selection, signal, reduce);
      if (listed !== undefined) return listed;
    }
  }

  /** The moment that a list would be of now. */
  async currentVersion(resource: Resource, selection: Selection, signal?: AbortSignal): Promise<string> {
    const query = { ...selectors(selection), limit: "1" };
    const answer = await this.#send("GET", "list", resource, place(selection), { query, signal });
    return this.#readList(answer, resource, selection).resourceVersion;
  }

  /** Undefined: the server does not do this. */
  async #streamedList<T extends KubernetesObject>(
    resource: Resource,
    selection: Selection,
    signal: AbortSignal | undefined,
    reduce: (object: T) => T,
  ): Promise<ObjectList<T> | undefined> {
    const ended = new AbortController();
    const query = { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan", allowWatchBookmarks: "true" };
    const items = new Map<string, T>();
    try {
      const both = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
      for await (const event of this.#events<T>(resource, selection, query, both)) {
        if (event.type !== "bookmark") {
          const { namespace = "", name } = event.object.metadata;
          if (event.type === "deleted") items.delete(`${namespace}/${name}`);
          else items.set(`${namespace}/${name}`, reduce(event.object));
        } else if (event.initialEventsEnd) {
          this.#streamsLists = true;
          return { resourceVersion: event.resourceVersion, items: [...items.values()] };
        }
      }
    } catch (error) {
      // 422 when the feature is off, 400 from servers before 1.27, 405 or 403 from what stands between.
      const refused = error instanceof ApiError && [400, 403, 405, 422].includes(error.status);
      if (refused) this.#streamsLists = false;
      this.#log.debug("a list could not be streamed", { resource: resource.plural, error });
    } finally {
      ended.abort();
    }
    return undefined;
  }

  /** Undefined: the server forgot the moment before the last page was read. */
  async #pagedList<T extends KubernetesObject>(
    resource: Resource,
    selection: Selection,
    signal: AbortSignal | undefined,
    reduce: (object: T) => T,
  ): Promise<ObjectList<T> | undefined> {
    const items: T[] = [];
    let page: Query = {};
    for (;;) {
      const query = { ...selectors(selection), limit: String(PAGE), ...page };
      let answer: unknown;
      try {
        answer = await this.#send("GET", "list", resource, place(selection), { query, signal });
      } catch (error) {
        if (error instanceof ApiError && error.status === 410 && page.continue !== undefined) return undefined;
        throw error;
      }
      const list = this.#readList(answer, resource, selection);
      items.push(...list.items.map((item) => reduce(this.#object<T>(item))));
      if (list.next === undefined) return { resourceVersion: list.resourceVersion, items };
      page = { continue: list.next };
    }
  }

  #readList(answer: unknown, resource: Resource, selection: Selection) {
    const metadata = isRecord(answer) && isRecord(answer.metadata) ? answer.metadata : {};
    const { resourceVersion, continue: next } = metadata;
    // An empty list of Go is null in JSON.
    const items = isRecord(answer) ? (answer.items ?? []) : undefined;
    if (!Array.isArray(items) || typeof resourceVersion !== "string" || resourceVersion === "") {
      throw this.#corrupt("the answer is not a list", describePlace(resource, place(selection)));
    }
    return { items, resourceVersion, next: typeof next === "string" && next !== "" ? next : undefined };
  }

  /**
   * Changes after `from` over one connection, which the server ends after some minutes. Ends without an error when it
   * does, or the signal is aborted. @throws ApiError with status 410 when the server no longer knows `from`.
   */
  async *watch<T extends KubernetesObject>(
    resource: Resource,
    selection: Selection,
    from: string,
    signal: AbortSignal,
  ): AsyncGenerator<ObjectEvent<T>> {
    yield* this.#events<T>(resource, selection, { resourceVersion: from, allowWatchBookmarks: "true" }, signal);
  }

  async *#events<T extends KubernetesObject>(
    resource: Resource,
    selection: Selection,
    query: Query,
    signal: AbortSignal,
  ): AsyncGenerator<ObjectEvent<T>> {
    const { clock, random, watchSeconds = WATCH_SECONDS, longestSilence = LONGEST_SILENCE } = this.#options;
    const silence = new Silence(clock, longestSilence, signal);
    const timeoutSeconds = String(watchSeconds + random.below(watchSeconds));
    const request: ApiRequest = {
      method: "GET",
      path: resourcePath(resource, place(selection)),
      query: { ...selectors(selection), ...query, watch: "true", timeoutSeconds },
      asked: this.#asked("watch", resource, place(selection)),
    };
    try {
      const stream = await this.#transport.stream({ ...request, signal: silence.signal });
      for await (const line of jsonLines(silence.heard(stream))) yield this.#event<T>(line, request.asked);
    } catch (error) {
      if (signal.aborted) return;
      throw this.#transport.broken(error, request);
    } finally {
      silence.end();
    }
  }

  #event<T extends KubernetesObject>(line: unknown, asked: Asked): ObjectEvent<T> {
    const { type, object } = isRecord(line) ? line : {};
    if (type === "ERROR" && isRecord(object)) {
      const body = readStatus(object);
      throw refusal(asked, { status: body.code ?? 500, body });
    }
    if (type === "BOOKMARK" && isRecord(object) && isRecord(object.metadata)) {
      const { resourceVersion, annotations } = object.metadata;
      if (typeof resourceVersion === "string") {
        const initialEventsEnd = isRecord(annotations) && annotations[INITIAL_EVENTS_END] === "true";
        return { type: "bookmark", resourceVersion, initialEventsEnd };
      }
    }
    const known = { ADDED: "added", MODIFIED: "modified", DELETED: "deleted" } as const;
    if (typeof type === "string" && Object.hasOwn(known, type) && isObject(object)) {
      const { resourceVersion } = object.metadata;
      return { type: known[type as keyof typeof known], object: this.#object<T>(object), resourceVersion };
    }
    throw this.#corrupt(`an event of type ${JSON.stringify(type)} is not what a watch tells`, asked.object);
  }

  #send(
    method: ApiRequest["method"],
    verb: string,
    resource: Resource,
    where: Place,
    options: Partial<Pick<ApiRequest, "query" | "body" | "contentType" | "signal">> & { readonly named?: Place },
  ): Promise<unknown> {
    const { named, ...rest } = options;
    const asked = this.#asked(verb, resource, named ?? where);
    return this.#transport.json({ method, path: resourcePath(resource, where), asked, ...rest });
  }

  #asked(verb: string, resource: Resource, where: Place): Asked {
    const suffix = where.subresource === undefined ? "" : `/${where.subresource}`;
    return {
      verb,
      resource: `${resource.plural}${suffix}`,
      group: resource.group,
      namespace: where.namespace,
      object: describePlace(resource, where),
      credentials: this.access.source,
    };
  }

  #object<T extends KubernetesObject>(value: unknown): T {
    if (!isObject(value)) throw this.#corrupt("the answer is not an object of the API", this.access.server);
    return value as unknown as T;
  }

  #corrupt(message: string, object: string): TwillError {
    return new TwillError("corrupt", message, { object, remedy: "check that it is a Kubernetes API server" });
  }
}

const place = ({ namespace }: Selection): Place => (namespace === undefined ? {} : { namespace });

function selectors({ labelSelector, fieldSelector }: Selection): Query {
  return { ...(labelSelector && { labelSelector }), ...(fieldSelector && { fieldSelector }) };
}

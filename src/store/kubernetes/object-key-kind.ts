import { isCode, TwillError } from "../../base/errors.ts";
import type { Listing, Revision, StoredObject, WatchEvent } from "../datastore.ts";
import type { Selection } from "./client.ts";
import { follow, isResourceVersion } from "./follow.ts";
import { asRevision, type KindContext, type KindStore, type KindStoreFactory } from "./kind-store.ts";
import type { ConfigMap } from "./object.ts";
import { CONFIG_MAPS, describePlace, type Resource, SECRETS } from "./resource.ts";
import { hasWriteId, newWriteId, WRITE, writeOnce } from "./write.ts";

/** One key of one object, as people write it: namespace kube-flannel, name kube-flannel-cfg, key net-conf.json. */
export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
  readonly key: string;
}

/** A kind with one object, whose text is that key's. The ConfigMap's other keys, labels and annotations stay. */
export const inConfigMapKey =
  (only: string, where: ObjectKey): KindStoreFactory =>
  (_, context) =>
    new ObjectKeyKind(only, where, context, configMaps);

/** The same in a Secret: for what the administrator lets fewer people read. */
export const inSecretKey =
  (only: string, where: ObjectKey): KindStoreFactory =>
  (_, context) =>
    new ObjectKeyKind(only, where, context, secrets);

/** ConfigMaps and Secrets differ in how the text of a key stands in `data` only. */
interface Container {
  readonly resource: Resource;
  encode(text: string): string;
  decode(stored: string): string;
}
const configMaps: Container = { resource: CONFIG_MAPS, encode: (text) => text, decode: (stored) => stored };
const secrets: Container = {
  resource: SECRETS,
  encode: (text) => new TextEncoder().encode(text).toBase64(),
  decode: (stored) => Buffer.from(stored, "base64").toString(),
};

class ObjectKeyKind implements KindStore {
  readonly #only: string;
  readonly #where: ObjectKey;
  readonly #context: KindContext;
  readonly #selection: Selection;
  readonly #container: Container;

  constructor(only: string, where: ObjectKey, context: KindContext, container: Container) {
    this.#container = container;
    this.#only = only;
    this.#where = where;
    this.#context = context;
    this.#selection = { namespace: where.namespace, fieldSelector: `metadata.name=${where.name}` };
  }

  async list(): Promise<Listing> {
    const { items, resourceVersion } = await this.#context.client.list<ConfigMap>(
      this.#container.resource,
      this.#selection,
    );
    return { objects: items.flatMap((item) => this.#decode(item) ?? []), revision: asRevision(resourceVersion) };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    if (name !== this.#only) return undefined;
    const found = await this.#find();
    return found && this.#decode(found);
  }

  async create(name: string, value: Uint8Array): Promise<StoredObject> {
    this.#checkName(name);
    const text = this.#text(value);
    const { namespace, name: own, key } = this.#where;
    const { client } = this.#context;
    const found = await this.#find();
    if (found?.data?.[key] !== undefined) throw new TwillError("exists", "exists already");
    if (found !== undefined) return this.#swap(found, text);
    return this.#write((writeId) =>
      client.create<ConfigMap>(this.#container.resource, this.#where, {
        apiVersion: "v1",
        kind: this.#container.resource.kind,
        metadata: { name: own, namespace, annotations: { [WRITE]: writeId } },
        data: { [key]: this.#container.encode(text) },
      }),
    );
  }

  async update(name: string, value: Uint8Array, revision: Revision): Promise<StoredObject> {
    const text = this.#text(value);
    const found = name === this.#only ? await this.#find() : undefined;
    if (found?.data?.[this.#where.key] === undefined) throw new TwillError("not-found", "does not exist");
    return this.#swap(this.#expect(found, revision), text);
  }

  async delete(name: string, revision: Revision | undefined): Promise<void> {
    const found = name === this.#only ? await this.#find() : undefined;
    if (found?.data?.[this.#where.key] === undefined) throw new TwillError("not-found", "does not exist");
    await this.#replace(revision === undefined ? found : this.#expect(found, revision), undefined);
  }

  async *watch(from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const { client } = this.#context;
    for await (const event of follow<ConfigMap>(client, this.#container.resource, this.#selection, from, {
      ...this.#context,
      signal,
    })) {
      if (event.type === "expired") {
        yield { type: "relist", reason: event.reason };
        continue;
      }
      const revision = asRevision(event.resourceVersion);
      const object = event.type === "added" || event.type === "modified" ? this.#decode(event.object) : undefined;
      if (event.type === "bookmark") yield { type: "bookmark", revision };
      else if (object !== undefined) yield { type: "put", object };
      else yield { type: "delete", name: this.#only, revision, expired: false };
    }
  }

  /** The ConfigMap as the writer last saw it: the API server refuses the write if it is no longer. */
  #expect(found: ConfigMap, revision: Revision): ConfigMap {
    if (!isResourceVersion(revision)) throw new TwillError("conflict", "was changed by someone else");
    return { ...found, metadata: { ...found.metadata, resourceVersion: revision } };
  }

  async #swap(found: ConfigMap, text: string): Promise<StoredObject> {
    return this.#stored(await this.#replace(found, text));
  }

  #replace(found: ConfigMap, text: string | undefined): Promise<ConfigMap> {
    const { [this.#where.key]: _, ...others } = found.data ?? {};
    const data = text === undefined ? others : { ...others, [this.#where.key]: this.#container.encode(text) };
    return this.#once((writeId) => {
      const annotations = { ...found.metadata.annotations, [WRITE]: writeId };
      const body = { ...found, metadata: { ...found.metadata, annotations }, data };
      return this.#context.client.update<ConfigMap>(this.#container.resource, this.#where, body);
    });
  }

  async #write(send: (writeId: string) => Promise<ConfigMap>): Promise<StoredObject> {
    return this.#stored(await this.#once(send));
  }

  #once(send: (writeId: string) => Promise<ConfigMap>): Promise<ConfigMap> {
    const writeId = newWriteId(this.#context.random);
    return writeOnce(
      () => send(writeId),
      async () => {
        const found = await this.#find();
        return hasWriteId(found, writeId) ? found : undefined;
      },
    );
  }

  #stored(written: ConfigMap): StoredObject {
    const stored = this.#decode(written);
    if (stored === undefined) throw new TwillError("corrupt", "the API server stored something else than was written");
    return stored;
  }

  async #find(): Promise<ConfigMap | undefined> {
    try {
      return await this.#context.client.get<ConfigMap>(this.#container.resource, this.#where);
    } catch (error) {
      if (isCode(error, "not-found")) return undefined;
      throw error;
    }
  }

  #decode({ metadata, data }: ConfigMap): StoredObject | undefined {
    const stored = data?.[this.#where.key];
    if (typeof stored !== "string") return undefined;
    const text = this.#container.decode(stored);
    return { name: this.#only, value: new TextEncoder().encode(text), revision: asRevision(metadata.resourceVersion) };
  }

  #text(value: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
    } catch {
      throw new TwillError("invalid", "the value is not UTF-8 text", { remedy: "save it as UTF-8" });
    }
  }

  #checkName(name: string): void {
    if (name === this.#only) return;
    const where = `${describePlace(this.#container.resource, this.#where)}: ${this.#where.key}`;
    throw new TwillError("invalid", `only "${this.#only}" can be kept in ${where}`);
  }
}

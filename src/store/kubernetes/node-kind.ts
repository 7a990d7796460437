import { isCode, TwillError } from "../../base/errors.ts";
import type { Listing, Revision, StoredObject, WatchEvent } from "../datastore.ts";
import { backoff } from "./backoff.ts";
import { follow } from "./follow.ts";
import { asRevision, type KindContext, type KindStore, type KindStoreFactory } from "./kind-store.ts";
import type { KubernetesObject, Node } from "./object.ts";
import { NODES } from "./resource.ts";
import { hasWriteId, newWriteId, WRITE, writeOnce } from "./write.ts";

/** How an object of ours stands in a Kubernetes Node: what it means is not known here. */
export interface NodeCodec {
  /** Undefined: this Node carries none. Called for whatever anyone wrote; must not throw. */
  read(node: Node): Uint8Array | undefined;
  /** Annotations to set, null to remove; of no value: to remove all. @throws TwillError `invalid`. */
  annotations(value: Uint8Array | undefined): Readonly<Record<string, string | null>>;
}

/** Sees each Node as it is listed and watched, the ones without an object of ours too: one watch serves both. */
export interface NodeObserver {
  /** These are all, as of a new list. */
  replaced(nodes: readonly Node[]): void;
  changed(node: Node): void;
  deleted(name: string): void;
}

/** @param observers may grow: a later one sees what comes after. */
export const allObservers = (observers: readonly NodeObserver[]): NodeObserver => ({
  replaced: (nodes) => {
    for (const observer of observers) observer.replaced(nodes);
  },
  changed: (node) => {
    for (const observer of observers) observer.changed(node);
  },
  deleted: (name) => {
    for (const observer of observers) observer.deleted(name);
  },
});

/**
 * A kind whose objects are annotations of the Nodes of their names. Nodes are not made or removed here: that is the
 * kubelet's and the administrator's, so `create` before the kubelet registered is `unavailable`.
 */
export const inNodes =
  (codec: NodeCodec, observer?: NodeObserver): KindStoreFactory =>
  (_, context) =>
    new NodeKind(codec, context, observer);

/** Through `status`, as flanneld does: who may patch that alone can change annotations, but neither spec nor taints. */
const PART = "status";
/** Races with writers of other parts of a Node (kubelet, controllers) that one write tries to win. */
const RACES = 40;
/** Milliseconds. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 500;

/**
 * A Node changes with every report of its kubelet, so a revision is its resource version, to watch from, and a digest of
 * our part, to compare and swap by: `VERSION.DIGEST`.
 */
class NodeKind implements KindStore {
  readonly #codec: NodeCodec;
  readonly #context: KindContext;
  readonly #observer: NodeObserver | undefined;

  constructor(codec: NodeCodec, context: KindContext, observer: NodeObserver | undefined) {
    this.#codec = codec;
    this.#context = context;
    this.#observer = observer;
  }

  async list(): Promise<Listing> {
    const { items, resourceVersion } = await this.#context.client.list<Node>(NODES);
    this.#observer?.replaced(items);
    const objects = items.flatMap((item) => this.#decode(item) ?? []);
    return { objects: objects.sort((a, b) => (a.name < b.name ? -1 : 1)), revision: asRevision(resourceVersion) };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    const node = await this.#find(name);
    return node && this.#decode(node);
  }

  create(name: string, value: Uint8Array): Promise<StoredObject> {
    return this.#stored(name, value, (node) => {
      if (node === undefined) {
        throw new TwillError("unavailable", `there is no Node "${name}"`, {
          remedy: "wait for its kubelet to register, or correct the agent's node name",
        });
      }
      if (this.#decode(node) !== undefined) throw new TwillError("exists", "exists already");
    });
  }

  update(name: string, value: Uint8Array, revision: Revision): Promise<StoredObject> {
    return this.#stored(name, value, (node) => this.#expect(node, revision));
  }

  async delete(name: string, revision: Revision | undefined): Promise<void> {
    await this.#write(name, undefined, (node) => this.#expect(node, revision));
  }

  async *watch(from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const [version = ""] = from.split(".");
    /** Digest of what was told of each Node; "" for nothing. Reports of kubelets that change nothing of ours are not told. */
    const told = new Map<string, string>();
    for await (const event of follow<Node>(this.#context.client, NODES, {}, version, { ...this.#context, signal })) {
      if (event.type === "expired") {
        yield { type: "relist", reason: event.reason };
        continue;
      }
      const revision = asRevision(event.resourceVersion);
      if (event.type === "bookmark") {
        yield { type: "bookmark", revision };
        continue;
      }
      const { name } = event.object.metadata;
      if (event.type === "deleted") this.#observer?.deleted(name);
      else this.#observer?.changed(event.object);
      const object = event.type === "deleted" ? undefined : this.#decode(event.object);
      const now = object === undefined ? "" : digestOf(object.revision);
      if (told.get(name) === now) continue;
      if (event.type === "deleted") told.delete(name);
      else told.set(name, now);
      if (object !== undefined) yield { type: "put", object };
      else yield { type: "delete", name, revision, expired: false };
    }
  }

  /** @throws TwillError `not-found` or `conflict` unless our part of the Node is that of the revision. */
  #expect(node: Node | undefined, revision: Revision | undefined): void {
    const stored = node && this.#decode(node);
    if (stored === undefined) throw new TwillError("not-found", "does not exist");
    if (revision !== undefined && digestOf(revision) !== digestOf(stored.revision)) {
      throw new TwillError("conflict", "was changed by someone else", { remedy: "read it again" });
    }
  }

  async #stored(name: string, value: Uint8Array, check: (node: Node | undefined) => void): Promise<StoredObject> {
    const stored = this.#decode(await this.#write(name, value, check));
    if (stored === undefined) throw new TwillError("corrupt", "the API server stored something else than was written");
    return stored;
  }

  /** Reads the Node, checks it, and changes our part of it if nobody changed anything meanwhile; else again. */
  async #write(name: string, value: Uint8Array | undefined, check: (node: Node | undefined) => void): Promise<Node> {
    const writeId = newWriteId(this.#context.random);
    const annotations = { ...this.#codec.annotations(value), [WRITE]: writeId };
    const landed = async () => {
      const node = await this.#find(name);
      return hasWriteId(node, writeId) ? node : undefined;
    };
    for (let race = 1; ; race++) {
      const node = await this.#find(name);
      check(node);
      const resourceVersion = node?.metadata.resourceVersion;
      try {
        return await writeOnce(
          () =>
            this.#context.client.patch<Node>(
              NODES,
              { name, subresource: PART },
              { metadata: { resourceVersion, annotations } },
            ),
          landed,
        );
      } catch (error) {
        if (!isCode(error, "conflict") || race === RACES) throw error;
        const { clock, random } = this.#context;
        await clock.sleep(backoff(race, FIRST_PAUSE, LONGEST_PAUSE, random));
      }
    }
  }

  async #find(name: string): Promise<Node | undefined> {
    try {
      return await this.#context.client.get<Node>(NODES, { name });
    } catch (error) {
      if (isCode(error, "not-found")) return undefined;
      throw error;
    }
  }

  #decode(node: Node): StoredObject | undefined {
    const value = this.#codec.read(node);
    if (value === undefined) return undefined;
    const revision = asRevision(`${node.metadata.resourceVersion}.${digest(value, node)}`);
    return { name: node.metadata.name, value, revision };
  }
}

/** With the mark of the last write, so that a value that came back is not the old one. */
function digest(value: Uint8Array, { metadata }: KubernetesObject): string {
  const hasher = new Bun.CryptoHasher("sha256").update(value).update(metadata.annotations?.[WRITE] ?? "");
  return hasher.digest("hex").slice(0, 16);
}

const digestOf = (revision: Revision): string => revision.split(".")[1] ?? "";

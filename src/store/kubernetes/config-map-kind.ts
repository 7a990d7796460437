import { isCode, TwillError } from "../../base/errors.ts";
import type { Kind, Listing, Revision, StoredObject, WatchEvent } from "../datastore.ts";
import { MAX_NAME_LENGTH } from "../key.ts";
import type { Selection } from "./client.ts";
import { follow, isResourceVersion } from "./follow.ts";
import { asRevision, type KindContext, type KindStore } from "./kind-store.ts";
import type { ConfigMap } from "./object.ts";
import { CONFIG_MAPS, type Place } from "./resource.ts";
import { hasWriteId, newWriteId, WRITE, writeOnce } from "./write.ts";

const KIND = "twill.dev/kind";
/** The name, where it does not stand in the ConfigMap's own. */
const NAME = "twill.dev/name";
const VALUE = "value";
const HASHED = "sha256.";

/**
 * Any kind: one ConfigMap an object, `KIND.NAME` in one namespace, found by its label. The value is text under `data`
 * where it is text, so that people can read and edit it, else `binaryData`. docs/design/kubernetes.md has the reasons.
 */
export class ConfigMapKind implements KindStore {
  readonly #kind: Kind;
  readonly #namespace: string;
  readonly #context: KindContext;
  readonly #selection: Selection;

  constructor(kind: Kind, namespace: string, context: KindContext) {
    this.#kind = kind;
    this.#namespace = namespace;
    this.#context = context;
    this.#selection = { namespace, labelSelector: `${KIND}=${kind}` };
  }

  async list(): Promise<Listing> {
    const { items, resourceVersion } = await this.#context.client.list<ConfigMap>(CONFIG_MAPS, this.#selection);
    const objects = items.flatMap((item) => this.#decode(item) ?? []);
    return { objects: objects.sort((a, b) => (a.name < b.name ? -1 : 1)), revision: asRevision(resourceVersion) };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    const found = await this.#find(name);
    return found && this.#decode(found);
  }

  create(name: string, value: Uint8Array): Promise<StoredObject> {
    return this.#write(name, value, (body) => this.#context.client.create(CONFIG_MAPS, this.#place(name), body));
  }

  async update(name: string, value: Uint8Array, revision: Revision): Promise<StoredObject> {
    if (!isResourceVersion(revision)) throw await this.#neverWas(name);
    const swap = (body: ConfigMap) =>
      this.#context.client.update(CONFIG_MAPS, this.#place(name), {
        ...body,
        metadata: { ...body.metadata, resourceVersion: revision },
      });
    return this.#write(name, value, swap);
  }

  async delete(name: string, revision: Revision | undefined): Promise<void> {
    if (revision !== undefined && !isResourceVersion(revision)) throw await this.#neverWas(name);
    const preconditions = revision === undefined ? undefined : { resourceVersion: revision as string };
    await writeOnce(
      async () => {
        await this.#context.client.delete(CONFIG_MAPS, this.#place(name), preconditions);
        return true;
      },
      async (unsure) => (unsure && (await this.#find(name)) === undefined ? true : undefined),
    );
  }

  async *watch(from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const { client } = this.#context;
    for await (const event of follow<ConfigMap>(client, CONFIG_MAPS, this.#selection, from, {
      ...this.#context,
      signal,
    })) {
      if (event.type === "expired") {
        yield { type: "relist", reason: event.reason };
      } else if (event.type === "bookmark") {
        yield { type: "bookmark", revision: asRevision(event.resourceVersion) };
      } else {
        const object = this.#decode(event.object);
        if (object === undefined) continue;
        // An object that lost its label is deleted for those who select by it, and so it is for us.
        if (event.type !== "deleted") yield { type: "put", object };
        else yield { type: "delete", name: object.name, revision: asRevision(event.resourceVersion), expired: false };
      }
    }
  }

  async #write(name: string, value: Uint8Array, send: (body: ConfigMap) => Promise<ConfigMap>): Promise<StoredObject> {
    const id = newWriteId(this.#context.random);
    const body = this.#encode(name, value, id);
    const written = await writeOnce(
      () => send(body),
      async () => {
        const found = await this.#find(name);
        return hasWriteId(found, id) ? found : undefined;
      },
    );
    const stored = this.#decode(written);
    if (stored === undefined) throw new TwillError("corrupt", "the API server stored something else than was written");
    return stored;
  }

  async #find(name: string): Promise<ConfigMap | undefined> {
    try {
      const found = await this.#context.client.get<ConfigMap>(CONFIG_MAPS, this.#place(name));
      return found.metadata.labels?.[KIND] === this.#kind ? found : undefined;
    } catch (error) {
      if (isCode(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** For a revision that no object ever had. */
  async #neverWas(name: string): Promise<TwillError> {
    return (await this.#find(name)) === undefined
      ? new TwillError("not-found", "does not exist")
      : new TwillError("conflict", "was changed by someone else", { remedy: "read it again" });
  }

  #place(name: string): Place {
    return { namespace: this.#namespace, name: objectName(this.#kind, name) };
  }

  #encode(name: string, value: Uint8Array, writeId: string): ConfigMap {
    const own = objectName(this.#kind, name);
    const text = readableText(value);
    return {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: own,
        namespace: this.#namespace,
        labels: { [KIND]: this.#kind, "app.kubernetes.io/managed-by": "twill" },
        annotations: { [WRITE]: writeId, ...(own !== `${this.#kind}.${name}` && { [NAME]: name }) },
      },
      ...(text === undefined ? { binaryData: { [VALUE]: value.toBase64() } } : { data: { [VALUE]: text } }),
    };
  }

  /** Undefined: it has our label and another's name, so we did not make it. Without a value it is an empty one. */
  #decode({ metadata, data, binaryData }: ConfigMap): StoredObject | undefined {
    const prefix = `${this.#kind}.`;
    const name = metadata.annotations?.[NAME] ?? metadata.name.slice(prefix.length);
    if (name === "" || objectName(this.#kind, name) !== metadata.name) return undefined;
    const [text, binary] = [data?.[VALUE], binaryData?.[VALUE]];
    const value = typeof binary === "string" ? decodeBase64(binary) : new TextEncoder().encode(text ?? "");
    return { name, value, revision: asRevision(metadata.resourceVersion) };
  }
}

/** KIND.NAME, or KIND.sha256.HASH when that is too long, or when the name itself looks like the latter. */
export function objectName(kind: Kind, name: string): string {
  const plain = `${kind}.${name}`;
  if (plain.length <= MAX_NAME_LENGTH && !name.startsWith(HASHED)) return plain;
  return `${kind}.${HASHED}${new Bun.CryptoHasher("sha256").update(name).digest("hex")}`;
}

/** Control characters but tab and line ends grow sixfold in JSON, past what a request may have, and nobody can read them. */
function readableText(value: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
    return /[^\P{Cc}\t\n\r]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return new Uint8Array(0); // the API server holds no such; what stands between us might
  }
}

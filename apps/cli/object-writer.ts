import { isCode, TwillError } from "../../src/base/errors.ts";
import { type ApiKind, apiKinds, parseStoreName } from "../../src/intent/kubernetes/api-object.ts";
import { SOURCE } from "../../src/intent/kubernetes/source.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { checkWrite } from "../../src/store/key.ts";
import type { KubernetesClient } from "../../src/store/kubernetes/client.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import type { KubernetesObject } from "../../src/store/kubernetes/object.ts";
import * as resources from "../../src/store/kubernetes/resource.ts";
import { mergeWritten, type Plain } from "./merge-written.ts";
import { storeKindOf } from "./stored-objects.ts";

export type Outcome = "created" | "configured" | "unchanged";

/** Writes Kubernetes' objects where the cluster has them. */
export interface ObjectWriter {
  /** Before the first is written: whether it could be. @throws TwillError. */
  check(kind: ApiKind, stored: string, value: Plain): void;
  apply(kind: ApiKind, stored: string, value: Plain): Promise<Outcome>;
  /** @throws TwillError `not-found`. */
  delete(kind: ApiKind, stored: string): Promise<void>;
}

export const objectWriter = (store: Datastore): ObjectWriter =>
  store instanceof KubernetesDatastore ? new ApiWriter(store.client) : new StoreWriter(store);

/** Others write the same pods and namespaces: agents, the lab, another person. */
const RACES = 20;

async function race<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const lost = isCode(error, "conflict") || isCode(error, "exists");
      if (!lost || tries === RACES) throw error;
    }
  }
}

class StoreWriter implements ObjectWriter {
  readonly #store: Datastore;

  constructor(store: Datastore) {
    this.#store = store;
  }

  check(api: ApiKind, stored: string, value: Plain): void {
    checkWrite(storeKindOf(api), stored, encode(value), undefined);
  }

  apply(api: ApiKind, stored: string, value: Plain): Promise<Outcome> {
    const kind = storeKindOf(api);
    return race(async () => {
      const found = await this.#store.get(kind, stored);
      const before = found === undefined ? undefined : parse(found.value);
      const after = encode(before === undefined ? value : mergeWritten(api, before, value));
      if (found === undefined) {
        await this.#store.create(kind, stored, after);
        return "created";
      }
      if (Buffer.from(found.value).equals(after)) return "unchanged";
      await this.#store.update(kind, stored, after, found.revision);
      return "configured";
    });
  }

  async delete(api: ApiKind, stored: string): Promise<void> {
    await this.#store.delete(storeKindOf(api), stored);
  }
}

const encode = (value: Plain): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** What cannot be read is replaced whole. */
function parse(bytes: Uint8Array): Plain | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Plain) : undefined;
  } catch {
    return undefined;
  }
}

const resourceOf: Readonly<Record<ApiKind, resources.Resource>> = {
  NetworkPolicy: resources.NETWORK_POLICIES,
  ClusterNetworkPolicy: resources.CLUSTER_NETWORK_POLICIES,
  Namespace: resources.NAMESPACES,
  Pod: resources.PODS,
};

/** Through the API server, which checks everything once more. */
class ApiWriter implements ObjectWriter {
  readonly #client: KubernetesClient;

  constructor(client: KubernetesClient) {
    this.#client = client;
  }

  check(api: ApiKind, stored: string): void {
    if (api !== "Pod") return;
    throw new TwillError("unsupported", "pods of a Kubernetes cluster are kubectl's and its controllers' to make", {
      object: `Pod ${stored.replace(".", "/")}`,
      remedy: "kubectl apply -f, or kubectl label pod",
    });
  }

  apply(api: ApiKind, stored: string, written: Plain): Promise<Outcome> {
    const place = parseStoreName(api, stored);
    const resource = resourceOf[api];
    const value = withoutSource(written);
    return race(async () => {
      const found = await this.#find(resource, place, api);
      if (found === undefined) {
        await this.#client.create(resource, place, value as unknown as KubernetesObject);
        return "created";
      }
      const merged = mergeWritten(api, found as unknown as Plain, value);
      const updated = await this.#client.update(resource, place, merged as unknown as KubernetesObject);
      return updated.metadata.resourceVersion === found.metadata.resourceVersion ? "unchanged" : "configured";
    });
  }

  async delete(api: ApiKind, stored: string): Promise<void> {
    await this.#client.delete(resourceOf[api], parseStoreName(api, stored));
  }

  async #find(
    resource: resources.Resource,
    place: resources.Place,
    api: ApiKind,
  ): Promise<KubernetesObject | undefined> {
    try {
      return await this.#client.get(resource, place);
    } catch (error) {
      if (isCode(error, "not-found")) return undefined;
      if (!isCode(error, "unsupported") || api !== "ClusterNetworkPolicy") throw error;
      throw new TwillError("unsupported", `this cluster knows no ${api} of ${apiKinds[api].apiVersion}`, {
        remedy: "install its definition first (sigs.k8s.io/network-policy-api)",
        cause: error,
      });
    }
  }
}

/** Where people change objects by other means, too, it would soon name lines that say something else. */
function withoutSource(value: Plain): Plain {
  const { annotations, ...metadata } = value.metadata as Plain;
  const { [SOURCE]: _, ...others } = (annotations ?? {}) as Plain;
  return { ...value, metadata: { ...metadata, ...(Object.keys(others).length > 0 && { annotations: others }) } };
}

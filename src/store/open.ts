import { isAbsolute } from "node:path";
import { TwillError } from "../base/errors.ts";
import type { Datastore } from "./datastore.ts";
import { EmbeddedDatastore, type EmbeddedOptions, embeddedCapabilities } from "./embedded/embedded.ts";
import { KubernetesDatastore, type KubernetesOptions, kubernetesCapabilities } from "./kubernetes/datastore.ts";
import { inConfigMapKey } from "./kubernetes/object-key-kind.ts";
import { clusterAccess, parseKubernetesUrl } from "./kubernetes/url.ts";
import { LazyDatastore } from "./lazy.ts";

/** Clock, random, log and what else an engine lets its user choose. */
export type DatastoreOptions = EmbeddedOptions & KubernetesOptions;

interface Engine {
  readonly capabilities: Datastore["capabilities"];
  /** `rest`: what follows the scheme. @returns how to open it. @throws TwillError `invalid` for a text that will never do. */
  prepare(rest: string, options: DatastoreOptions): () => Promise<Datastore>;
}

/** By the scheme of the URL. */
const engines: Readonly<Record<string, Engine>> = {
  embedded: {
    capabilities: embeddedCapabilities,
    prepare: (path, options) => {
      if (!isAbsolute(path) || path.endsWith("/") || path.includes("\0")) {
        throw wrong(`embedded:${path}`, `"${path}" is not the absolute path of a file`);
      }
      return () => EmbeddedDatastore.open(path, options);
    },
  },
  kubernetes: {
    capabilities: kubernetesCapabilities,
    prepare: (rest, options) => {
      const url = parseKubernetesUrl(rest);
      const { namespace, config } = url;
      const kinds = {
        ...(config && { config: inConfigMapKey("network", { ...config, key: "net-conf.json" }) }),
        ...options.kinds,
      };
      return async () =>
        new KubernetesDatastore(clusterAccess(url, options.clock), {
          ...options,
          ...(namespace && { namespace }),
          kinds,
        });
    },
  },
};
const later: readonly string[] = ["etcd"];

/**
 * Opens "embedded:/path/to/file.db" or "kubernetes:/path/to/kubeconfig". @throws TwillError `invalid` for another text,
 * `unsupported` for an engine that is still to come, and what the engine throws when it cannot be reached now.
 */
export async function openDatastore(url: string, options: DatastoreOptions = {}): Promise<Datastore> {
  const { engine, rest } = resolve(url);
  return await engine.prepare(rest, options)();
}

/**
 * As openDatastore, but reached for at the first use, and again at each until it answers: for an agent, which starts
 * with the datastore away. @throws TwillError `invalid` or `unsupported`, at once, for a text that will never do.
 */
export function lazyDatastore(url: string, options: DatastoreOptions = {}): LazyDatastore {
  const { engine, rest } = resolve(url);
  return new LazyDatastore(engine.capabilities, engine.prepare(rest, options));
}

function resolve(url: string): { readonly engine: Engine; readonly rest: string } {
  const colon = url.indexOf(":");
  const scheme = url.slice(0, Math.max(colon, 0));
  const engine = Object.hasOwn(engines, scheme) ? engines[scheme] : undefined;
  if (later.includes(scheme) || later.includes(url)) {
    throw new TwillError("unsupported", "the etcd datastore comes in a later version", details(url));
  }
  if (engine === undefined) throw wrong(url, "is not the URL of a datastore");
  return { engine, rest: url.slice(colon + 1) };
}

const details = (object: string) => ({
  operation: "open datastore",
  object,
  remedy: "write embedded:/PATH/OF/FILE.db or kubernetes:/PATH/OF/KUBECONFIG",
});
const wrong = (url: string, message: string): TwillError => new TwillError("invalid", message, details(url));

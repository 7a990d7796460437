import { isAbsolute } from "node:path";
import { TwillError } from "../base/errors.ts";
import type { Datastore } from "./datastore.ts";
import { EmbeddedDatastore, type EmbeddedOptions, embeddedCapabilities } from "./embedded/embedded.ts";
import { LazyDatastore } from "./lazy.ts";

/** Clock, random, log and what else an engine lets its user choose. */
export type DatastoreOptions = EmbeddedOptions;

interface Engine {
  readonly capabilities: Datastore["capabilities"];
  open(rest: string, options: DatastoreOptions): Promise<Datastore>;
}

/** By the scheme of the URL. */
const engines: Readonly<Record<string, Engine>> = {
  embedded: { capabilities: embeddedCapabilities, open: (path, options) => EmbeddedDatastore.open(path, options) },
};
const later: readonly string[] = ["etcd", "kubernetes"];

/**
 * Opens "embedded:/path/to/file.db". @throws TwillError `invalid` for another text, `unsupported` for an engine that is
 * still to come, and what the engine throws when it cannot be reached now.
 */
export async function openDatastore(url: string, options: DatastoreOptions = {}): Promise<Datastore> {
  const { engine, rest } = resolve(url);
  return await engine.open(rest, options);
}

/**
 * As openDatastore, but reached for at the first use, and again at each until it answers: for an agent, which starts
 * with the datastore away. @throws TwillError `invalid` or `unsupported`, at once, for a text that will never do.
 */
export function lazyDatastore(url: string, options: DatastoreOptions = {}): Datastore {
  const { engine, rest } = resolve(url);
  return new LazyDatastore(engine.capabilities, () => engine.open(rest, options));
}

function resolve(url: string): { readonly engine: Engine; readonly rest: string } {
  const colon = url.indexOf(":");
  const scheme = url.slice(0, Math.max(colon, 0));
  const rest = url.slice(colon + 1);
  const engine = Object.hasOwn(engines, scheme) ? engines[scheme] : undefined;
  const details = { operation: "open datastore", object: url, remedy: "write embedded:/PATH/OF/FILE.db" };
  if (later.includes(scheme) || later.includes(url)) {
    throw new TwillError("unsupported", "the etcd and kubernetes datastores come in a later version", details);
  }
  if (engine === undefined) throw new TwillError("invalid", "is not the URL of a datastore", details);
  if (!isAbsolute(rest) || rest.endsWith("/") || rest.includes("\0")) {
    throw new TwillError("invalid", `"${rest}" is not the absolute path of a file`, details);
  }
  return { engine, rest };
}

import type { Clock } from "../../base/clock.ts";
import { isCode } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { isExpired } from "./api-error.ts";
import { backoff } from "./backoff.ts";
import type { KubernetesClient, Selection } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import type { KubernetesObject, ObjectEvent } from "./object.ts";
import type { Resource } from "./resource.ts";

export interface FollowOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** How long the API server may be away before that is an error, milliseconds. */
  readonly patience?: number;
}

/** A server that restarts is back by then; its watchers go on where they were, and need not all list at once. */
const PATIENCE = 20_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;

/** What the server calls a resource version. Any other text never was one. */
const versionPattern = /^[1-9][0-9]{0,30}$/;
export const isResourceVersion = (text: string): boolean => versionPattern.test(text);

/**
 * Changes after `from` for as long as it takes: over one connection after the other, each from where the last one was.
 * `expired`, which is the last, when the server cannot go on from there. Ends without an error when the signal is aborted.
 * @throws TwillError what the server refused, or `unavailable` after `patience`.
 */
export async function* follow<T extends KubernetesObject>(
  client: KubernetesClient,
  resource: Resource,
  selection: Selection,
  from: string,
  { clock, random, log, signal, patience = PATIENCE }: FollowOptions,
): AsyncGenerator<ObjectEvent<T> | { readonly type: "expired"; readonly reason: string }> {
  if (!isResourceVersion(from)) {
    if (!signal.aborted) yield { type: "expired", reason: `"${from}" is no resource version` };
    return;
  }
  const now = () => client.currentVersion(resource, selection, signal).catch(() => reached);
  let reached = from;
  let failures = 0;
  let lastHeard = clock.monotonic();
  while (!signal.aborted) {
    let silent = true;
    try {
      for await (const event of client.watch<T>(resource, selection, reached, signal)) {
        if (signal.aborted) return;
        silent = false;
        if (isBefore(event.resourceVersion, reached)) {
          yield wentBack(event.resourceVersion);
          return;
        }
        reached = event.resourceVersion;
        failures = 0;
        yield event;
        lastHeard = clock.monotonic();
      }
      lastHeard = clock.monotonic();
    } catch (error) {
      if (signal.aborted) return;
      if (isExpired(error)) {
        yield { type: "expired", reason: error instanceof Error ? error.message : "expired" };
        return;
      }
      if (!isCode(error, "unavailable") || clock.monotonic() - lastHeard >= patience) throw error;
      // Nobody was there to be silent, and a thousand nodes need not ask twice whether somebody is.
      if (error instanceof ConnectionError && !error.ambiguous) silent = false;
      log.debug("a watch broke", { resource: resource.plural, reached, error });
    }
    // A server waits in silence for a version that is still to come (not one event, and no bookmark in minutes).
    const current = silent && !signal.aborted ? await now() : reached;
    if (isBefore(current, reached)) {
      yield wentBack(current);
      return;
    }
    await clock.sleep(backoff(failures++, FIRST_PAUSE, LONGEST_PAUSE, random), signal);
  }
}

/** etcd was restored from a backup, or this is another cluster: what the watcher knows may never have been. */
const wentBack = (version: string) => ({ type: "expired", reason: `the API server is back at ${version}` }) as const;

/** Versions of one cluster are comparable as whole numbers (KEP-5504). */
const isBefore = (a: string, b: string): boolean =>
  isResourceVersion(a) && isResourceVersion(b) && BigInt(a) < BigInt(b);

import { existsSync } from "node:fs";
import { isInsideLab, isRunning, labDirectory } from "../../lab/directory.ts";
import { TwillError } from "../../src/base/errors.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { type DatastoreOptions, openDatastore } from "../../src/store/open.ts";

/**
 * The datastore of a cluster that is there. A file that nobody made is none: what is written into it would reach no agent.
 * @throws TwillError `not-found` with where the cluster may be instead, and as openDatastore.
 */
export async function openCluster(url: string, options: DatastoreOptions): Promise<Datastore> {
  const file = /^embedded:(.*)$/s.exec(url)?.[1];
  if (file !== undefined && !existsSync(file)) {
    throw new TwillError("not-found", "there is no such file: no agent of this machine keeps its cluster there", {
      operation: "open datastore",
      object: url,
      remedy:
        !isInsideLab() && isRunning(labDirectory())
          ? "a lab is running: say it on one of its nodes, twill lab exec node1 -- twill …"
          : "say with --datastore where the cluster's state is, as the agents were told",
    });
  }
  return await openDatastore(url, { ...options, create: false });
}

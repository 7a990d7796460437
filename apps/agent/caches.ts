import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import type { Log } from "../../src/base/log.ts";
import { ObjectCache } from "../../src/store/object-cache.ts";
import { SnapshotFile } from "../../src/store/snapshot.ts";
import { makeFolder } from "./files.ts";

export interface CachesOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** `areKept` has become true. */
  readonly onKept: () => void;
}

/** What the agent knows of the datastore, in files, for a start without it. */
export class Caches {
  readonly nodes: SnapshotFile;
  readonly config: SnapshotFile;
  readonly switch: SnapshotFile;
  /** Large ones, of which a change is written alone. */
  readonly networkPolicies: ObjectCache;
  readonly clusterNetworkPolicies: ObjectCache;
  readonly namespaces: ObjectCache;
  readonly pods: ObjectCache;
  readonly #onKept: () => void;
  #kept: "not asked for" | "soon" | "yes" = "not asked for";

  constructor({ stateDir, clock, log, onKept }: CachesOptions) {
    const folder = join(stateDir, "cache");
    makeFolder(folder, 0o700);
    const file = (kind: string, delay?: { readonly quiet: number }) =>
      new SnapshotFile(join(folder, `${kind}.snapshot`), { clock, log, ...delay });
    this.nodes = file("nodes");
    // Kept at once: they change rarely, and the last good one is needed when the next is not.
    this.config = file("config", { quiet: 0 });
    this.switch = file("switch", { quiet: 0 });
    const objects = (kind: string, delay: number) => new ObjectCache(join(folder, `${kind}.db`), { clock, log, delay });
    // What is denied must not be looser after a restart without the datastore.
    this.networkPolicies = objects("networkpolicies", 0);
    this.clusterNetworkPolicies = objects("clusternetworkpolicies", 0);
    this.namespaces = objects("namespaces", 0);
    this.pods = objects("pods", 500);
    this.#onKept = onKept;
  }

  /**
   * What was known at the first call is in the files. An agent says that it is ready no sooner, so that one that was ready can
   * start without its datastore, however soon that is. True also where the disk is full, which is logged: pods that can be
   * added now are worth more than a start to come.
   */
  areKept(): boolean {
    if (this.#kept === "not asked for") {
      this.#kept = "soon";
      void this.flush().then(() => {
        this.#kept = "yes";
        this.#onKept();
      });
    }
    return this.#kept === "yes";
  }

  /** Writes what is waiting to be written. */
  async flush(): Promise<void> {
    const policy = [this.networkPolicies, this.clusterNetworkPolicies, this.namespaces, this.pods];
    await Promise.all([this.nodes, this.config, this.switch, ...policy].map((file) => file.flush()));
  }
}

import type { TwillError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Rtnl, RtnlOperation } from "../kernel/rtnl.ts";

/** All writes of one flush go through here, to be counted and traced. */
export class Writer {
  readonly writes: Record<string, number> = {};
  readonly #rtnl: Rtnl;
  readonly #log: Log;

  constructor(rtnl: Rtnl, log: Log) {
    this.#rtnl = rtnl;
    this.#log = log;
  }

  count(operation: string): void {
    this.writes[operation] = (this.writes[operation] ?? 0) + 1;
  }

  /** One result an operation, in order. */
  apply(operations: readonly RtnlOperation[]): readonly (TwillError | undefined)[] {
    if (operations.length === 0) return [];
    for (const operation of operations) {
      this.count(operation.op);
      if (this.#log.enabled("debug")) this.#log.debug("write", { operation });
    }
    return this.#rtnl.apply(operations);
  }

  one(operation: RtnlOperation): TwillError | undefined {
    return this.apply([operation])[0];
  }
}

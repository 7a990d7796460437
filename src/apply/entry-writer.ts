import type { TwillError } from "../base/errors.ts";
import { EADDRNOTAVAIL, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENODEV, ENOENT, ESRCH } from "../kernel/errno.ts";
import type { RtnlOperation } from "../kernel/rtnl.ts";
import type { Contention } from "./contention.ts";
import type { EntryKindName } from "./entry-kind.ts";
import type { EntryWrite } from "./entry-table.ts";
import type { Failure, Retries } from "./retries.ts";
import type { Writer } from "./writer.ts";

/** A write that the kernel did not take. */
export interface Refusal {
  readonly kind: EntryKindName;
  readonly write: EntryWrite;
  readonly error: TwillError;
}

/** The kernel says that what should go is gone. */
const goneAlready: ReadonlySet<number> = new Set([ENOENT, ESRCH, EADDRNOTAVAIL, ENODEV]);
/** The kernel cannot resolve the gateway now: the link is down, or its address is not there yet. */
const unreachable: ReadonlySet<number> = new Set([ENETUNREACH, EHOSTUNREACH, ENETDOWN, EINVAL]);

/** Writes entries in batches and keeps the book on what failed. One a flush. */
export class EntryWriter {
  readonly #writer: Writer;
  readonly #retries: Retries;
  readonly #contention: Contention;

  constructor(writer: Writer, retries: Retries, contention: Contention) {
    this.#writer = writer;
    this.#retries = retries;
    this.#contention = contention;
  }

  /** All in one batch; what failed comes back, for the caller to deal with or to give to `fail`. */
  write(kind: EntryKindName, writes: readonly EntryWrite[]): readonly Refusal[] {
    const allowed = writes.filter(({ key, device, object }) =>
      this.#contention.mayWrite({ kind, key, device, object }),
    );
    const results = this.#writer.apply(allowed.flatMap((write) => write.operations));
    const refusals: Refusal[] = [];
    let next = 0;
    for (const write of allowed) {
      const own = results.slice(next, next + write.operations.length);
      const error = own.find((result, index) => result !== undefined && !isGone(write.operations[index], result));
      next += write.operations.length;
      if (error === undefined) {
        write.commit();
        this.#retries.clear(kind, write.key);
      } else refusals.push({ kind, write, error });
    }
    return refusals;
  }

  fail({ kind, write, error }: Refusal): void {
    this.report(kind, write, {
      reason: error.message,
      remedy: error.remedy ?? "the agent tries again; compare with: ip route, ip neighbour, bridge fdb",
      waiting: kind === "route" && unreachable.has(error.errno ?? 0),
    });
  }

  report(kind: EntryKindName, write: EntryWrite, why: Pick<Failure, "reason" | "remedy"> & Partial<Failure>): void {
    const { key, device, object } = write;
    this.#retries.record({ waiting: false, ...why, kind, key, device, object });
  }
}

const isGone = (operation: RtnlOperation | undefined, error: TwillError): boolean =>
  operation?.op.endsWith(".delete") === true && goneAlready.has(error.errno ?? 0);

/**
 * Every error of ours carries what was being done (operation), to what (object), a code to branch on, and a remedy
 * for the person who reads it. Code never branches on the text.
 */
export type ErrorCode =
  | "invalid" // what the user or a peer gave is wrong; nothing was changed
  | "not-found"
  | "exists"
  | "conflict" // a compare-and-swap lost, or two owners of one thing
  | "exhausted" // no address, subnet, number… left
  | "unavailable" // try again later: datastore or agent away, kernel busy
  | "unsupported" // this kernel or this version cannot
  | "denied"
  | "kernel" // the kernel refused; errno says why
  | "io"
  | "corrupt" // bytes that cannot be what they claim to be
  | "internal"; // a bug of ours

export interface ErrorDetails {
  /** What was attempted, as an infinitive: "create link". */
  readonly operation?: string;
  /** What it was attempted on: "flannel.1", "/etc/x.json: Backend.VNI". */
  readonly object?: string;
  /** What the reader should do next, one sentence. */
  readonly remedy?: string;
  /** Positive errno of the kernel, where there is one. */
  readonly errno?: number;
  readonly cause?: unknown;
}

export class TwillError extends Error {
  override readonly name = "TwillError";
  readonly code: ErrorCode;
  readonly operation: string | undefined;
  readonly object: string | undefined;
  readonly remedy: string | undefined;
  readonly errno: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.operation = details.operation;
    this.object = details.object;
    this.remedy = details.remedy;
    this.errno = details.errno;
  }

  /** One line for a person: what failed, on what, why, and what to do. */
  describe(): string {
    const where = [this.operation, this.object].filter((part) => part !== undefined).join(" ");
    const line = where === "" ? this.message : `${where}: ${this.message}`;
    return this.remedy === undefined ? line : `${line} (${this.remedy})`;
  }
}

export function isCode(error: unknown, code: ErrorCode): error is TwillError {
  return error instanceof TwillError && error.code === code;
}

/** A text for any thrown value, with the chain of causes. */
export function describeError(error: unknown): string {
  const own = error instanceof TwillError ? error.describe() : error instanceof Error ? error.message : String(error);
  return error instanceof Error && error.cause !== undefined ? `${own}: ${describeError(error.cause)}` : own;
}

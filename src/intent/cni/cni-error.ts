import { describeError, type ErrorCode, type ErrorDetails, TwillError } from "../../base/errors.ts";
import type { CniVersion } from "./version.ts";

/** Codes of the CNI specification ("Error"); from 100 on they are ours. */
export const cniCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  /** The runtime need not call DEL. Never said of anything but a container that certainly left nothing with us. */
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  /** STATUS: not available. */
  notAvailable: 50,
  /** STATUS: not available, and pods that run may have limited connectivity. */
  limitedConnectivity: 51,
} as const;

/** An error whose CNI code its place knows better than its kind does. */
export class CniError extends TwillError {
  readonly cniCode: number;

  constructor(cniCode: number, message: string, details: ErrorDetails & { readonly code?: ErrorCode } = {}) {
    super(details.code ?? "invalid", message, details);
    this.cniCode = cniCode;
  }
}

/**
 * What no place said otherwise. `not-found` is not CNI's 3: that code tells the runtime to forget the container without
 * DEL, and what was not found may be anything, such as this node's subnet.
 */
const codeOf: Readonly<Record<ErrorCode, number>> = {
  invalid: cniCodes.invalidConfiguration,
  corrupt: cniCodes.decode,
  io: cniCodes.io,
  unavailable: cniCodes.tryAgainLater,
  conflict: cniCodes.tryAgainLater,
  "not-found": 100,
  exists: 101,
  exhausted: 102,
  unsupported: 103,
  denied: 104,
  kernel: 105,
  internal: 199,
};

export function cniCodeOf(error: unknown): number {
  if (error instanceof CniError) return error.cniCode;
  return error instanceof TwillError ? codeOf[error.code] : codeOf.internal;
}

/** What the plugin prints to stdout before it exits with status 1. Runtimes show `msg; details`. */
export function formatError(error: unknown, cniVersion: CniVersion): string {
  const told = error instanceof TwillError ? error : undefined;
  const where = [told?.operation, told?.object].filter((part) => part !== undefined).join(" ");
  const message = told?.message ?? (error instanceof Error ? error.message : String(error));
  const cause = told?.cause === undefined ? undefined : describeError(told.cause);
  const details = [told?.remedy, cause].filter((part) => part !== undefined).join("; ");
  return JSON.stringify({
    cniVersion,
    code: cniCodeOf(error),
    msg: where === "" ? message : `${where}: ${message}`,
    details: details === "" ? undefined : details,
  });
}

import { TwillError } from "../base/errors.ts";
import type { Kind } from "./datastore.ts";

/**
 * What every engine can hold. The grammar is Kubernetes' for names of objects (RFC 1123 subdomain, the strictest of the
 * three); the size leaves room for base64 and an envelope within etcd's request limit of 1.5 MiB.
 */
export const MAX_VALUE_BYTES = 1024 * 1024;
export const MAX_NAME_LENGTH = 253;
/** 100 years: more is a bug in a unit. */
export const MAX_TTL_SECONDS = 100 * 366 * 86_400;

const kindPattern = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const namePattern = /^[a-z0-9](?:-*[a-z0-9])*(?:\.[a-z0-9](?:-*[a-z0-9])*)*$/;

/** @throws TwillError `invalid`. */
export function checkKind(kind: Kind): void {
  if (!kindPattern.test(kind)) {
    throw new TwillError("invalid", `${JSON.stringify(kind)} is not a kind of object`, {
      remedy: "use 1 to 63 lower-case letters, digits and hyphens, a letter first, no hyphen last",
    });
  }
}

/** @throws TwillError `invalid`: names come from people and peers, and become keys, paths and URLs in some engine. */
export function checkName(kind: Kind, name: string): void {
  checkKind(kind);
  if (name.length > MAX_NAME_LENGTH || !namePattern.test(name)) {
    throw new TwillError("invalid", `${JSON.stringify(name.slice(0, 300))} cannot name an object`, {
      object: kind,
      remedy: `use 1 to ${MAX_NAME_LENGTH} lower-case letters, digits, hyphens and dots, a letter or digit at both ends of each part between dots`,
    });
  }
}

/** @throws TwillError `invalid`. */
export function checkWrite(kind: Kind, name: string, value: Uint8Array, ttlSeconds: number | undefined): void {
  checkName(kind, name);
  if (value.length > MAX_VALUE_BYTES) {
    throw new TwillError("invalid", `the value has ${value.length} bytes, more than ${MAX_VALUE_BYTES}`, {
      object: `${kind}/${name}`,
      remedy: "split it into several objects",
    });
  }
  if (ttlSeconds !== undefined) checkTtl(kind, name, ttlSeconds);
}

/** @throws TwillError `invalid`. */
export function checkTtl(kind: Kind, name: string, ttlSeconds: number): void {
  if (!(ttlSeconds > 0 && ttlSeconds <= MAX_TTL_SECONDS)) {
    throw new TwillError("invalid", `${ttlSeconds} seconds is not a time to live`, {
      object: `${kind}/${name}`,
      remedy: "give a positive number of seconds",
    });
  }
}

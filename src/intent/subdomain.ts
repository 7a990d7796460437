import { TwillError } from "../base/errors.ts";

/** Kubernetes' rule for names of nodes and pods (RFC 1123 section 2.1): safe in paths, keys and host names. */
const subdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

export const isSubdomain = (name: string): boolean => name.length <= 253 && subdomain.test(name);

/** @throws TwillError `invalid`. */
export function parseNodeName(name: string): string {
  if (isSubdomain(name)) return name;
  throw new TwillError("invalid", `${JSON.stringify(name.slice(0, 80))} is not a node name`, {
    remedy: "use lower-case letters, digits, - and ., at most 253, beginning and ending with a letter or digit",
  });
}

import { detached } from "../../base/detached.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import type { Namespace, Policy, WorkloadEndpoint } from "../../model/policy.ts";
import { type Place, rootOf } from "../schema.ts";
import { type ApiKind, type ApiObject, apiKinds, parseStoreName, readApiObject } from "./api-object.ts";
import { brokenPolicy, UnreadablePolicy } from "./broken-policy.ts";
import { inside, membersOf, Notes, readText, type Warning } from "./reading.ts";

export interface StoredPolicy {
  readonly policy: Policy;
  readonly warnings: readonly Warning[];
}

export interface StoredPod {
  readonly uid?: string;
  /** Undefined: on the host's network, or completed. */
  readonly endpoint?: WorkloadEndpoint;
}

/**
 * A policy as a datastore keeps it, under its name in the store.
 * @throws UnreadablePolicy, which says what to put in its place.
 */
export function decodePolicy(
  kind: "NetworkPolicy" | "ClusterNetworkPolicy",
  bytes: Uint8Array,
  stored: string,
): StoredPolicy {
  const id = idOf(kind, stored);
  let whole: Place | undefined;
  try {
    parseStoreName(kind, stored);
    whole = parse(kind, bytes, stored);
    const notes = new Notes("datastore");
    const object = readApiObject(kind, whole, notes);
    checkName(object, id, stored);
    if (object.kind !== kind) throw new TwillError("internal", `read as a ${object.kind}`);
    return detached({ policy: object.policy, warnings: notes.warnings });
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    throw new UnreadablePolicy(error, brokenPolicy(kind, id, whole, error));
  }
}

/** Whose name says no namespace lies in none, so it selects nobody; but it is told of. */
export function idOf(kind: ApiKind, stored: string): { readonly namespace?: string; readonly name: string } {
  const nowhere = apiKinds[kind].namespaced && !stored.includes(".");
  return nowhere ? { namespace: "", name: stored } : parseStoreName(kind, stored);
}

/** @throws TwillError `invalid`. */
export function decodeNamespace(bytes: Uint8Array, stored: string): Namespace {
  const object = decode("Namespace", bytes, stored);
  if (object.kind !== "Namespace") throw new TwillError("internal", `read as a ${object.kind}`);
  return detached(object.namespace);
}

/** @throws TwillError `invalid`. */
export function decodePod(bytes: Uint8Array, stored: string): StoredPod {
  const whole = parse("Pod", bytes, stored);
  const object = named(readApiObject("Pod", whole, new Notes("datastore")), "Pod", stored);
  if (object.kind !== "Pod") throw new TwillError("internal", `read as a ${object.kind}`);
  const uid = uidOf(whole);
  return detached({
    ...(uid !== undefined && { uid }),
    ...(object.endpoint !== undefined && { endpoint: object.endpoint }),
  });
}

function decode(kind: ApiKind, bytes: Uint8Array, stored: string): ApiObject {
  return named(readApiObject(kind, parse(kind, bytes, stored), new Notes("datastore")), kind, stored);
}

const parse = (kind: ApiKind, bytes: Uint8Array, stored: string): Place =>
  rootOf(parseJson(bytes, { source: `${kind} ${stored.replace(".", "/")}`, maxLength: 2 << 20 }));

function named(object: ApiObject, kind: ApiKind, stored: string): ApiObject {
  checkName(object, parseStoreName(kind, stored), stored);
  return object;
}

/** What lies under another's name must not pass for it, nor be two. */
function checkName(
  { metadata }: ApiObject,
  id: { readonly namespace?: string; readonly name: string },
  stored: string,
): void {
  if (metadata.name === id.name && metadata.namespace === id.namespace) return;
  const message = `it calls itself ${[metadata.namespace, metadata.name].filter(Boolean).join("/")}`;
  throw new TwillError("invalid", message, { object: stored, remedy: "store it under its own name: twill apply" });
}

function uidOf(whole: Place): string | undefined {
  const metadata = membersOf(whole).find(({ key }) => key === "metadata");
  const place = metadata && inside(whole, "metadata", metadata.value);
  const uid = place && membersOf(place).find(({ key, value }) => key === "uid" && value.kind !== "null");
  return uid && readText(inside(place, "uid", uid.value));
}

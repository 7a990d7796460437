import type { Labels } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { isSubdomain } from "../subdomain.ts";
import { readLabels } from "./labels.ts";
import { inside, membersOf, missing, type Reading, readFields, readText } from "./reading.ts";

/** The parts of an object's metadata (k8s.io/apimachinery meta/v1) that matter here. */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A namespace's name (RFC 1123 label): the name of the store's object begins with it and a dot. */
export const isNamespaceName = (name: string): boolean => /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(name);

/** What the API knows of metadata, so that a slip of the pen is seen. */
const known = [
  "name",
  "namespace",
  "labels",
  "annotations",
  "generateName",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "ownerReferences",
  "finalizers",
  "managedFields",
  "selfLink",
] as const;

/**
 * @param whole the object.
 * @param namespaced the API has it in a namespace; `fallback` is the one when none is written.
 * @throws JsonError.
 */
export function readMetadata(
  whole: Place,
  reading: Reading,
  namespaced: { readonly fallback?: string } | undefined,
): Metadata {
  const member = membersOf(whole).find(({ key }) => key === "metadata");
  if (member === undefined) throw missing({ place: whole }, "metadata", "add metadata: with name: NAME in it");
  const fields = readFields(inside(whole, "metadata", member.value), known, reading);
  const namePlace = fields.at("name");
  if (namePlace === undefined) throw missing(fields, "name", "add name: NAME");
  const name = checked(namePlace, isSubdomain, "a name", "use lower-case letters, digits, - and ., at most 253");
  const labels = fields.at("labels");
  const annotations = fields.at("annotations");
  const namespace = readNamespace(fields.at("namespace"), namespaced);
  if (namespaced !== undefined && namespace === undefined) {
    throw missing(fields, "namespace", "add namespace: NAME, or give -n NAME");
  }
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    labels: labels === undefined ? {} : readLabels(labels),
    annotations: annotations === undefined ? {} : readAnnotations(annotations),
  };
}

function readNamespace(
  place: Place | undefined,
  namespaced: { readonly fallback?: string } | undefined,
): string | undefined {
  // An empty one is an absent one (Go's omitempty).
  if (place === undefined || (place.node.kind === "string" && place.node.value === "")) return namespaced?.fallback;
  const form = "use lower-case letters, digits and -, at most 63";
  const name = checked(place, isNamespaceName, "a namespace's name", form);
  if (namespaced === undefined) throw wrong(place, "it lies in no namespace: it holds for the cluster", "remove it");
  return name;
}

function checked(place: Place, fits: (text: string) => boolean, what: string, remedy: string): string {
  const text = readText(place);
  if (!fits(text)) throw wrong(place, `${described(place)} cannot be ${what}`, remedy);
  return text;
}

function readAnnotations(place: Place): Readonly<Record<string, string>> {
  return Object.fromEntries(
    membersOf(place).map(({ key, value }) => {
      const at = inside(place, key, value);
      return [key, value.kind === "null" ? "" : readText(at)];
    }),
  );
}

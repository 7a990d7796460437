import { TwillError } from "../../base/errors.ts";
import { JsonError } from "../../base/json-error.ts";
import type { EndpointMatch, Policy } from "../../model/policy.ts";
import type { Place } from "../schema.ts";
import { clusterSpecFields, readPriority, readSubject, readTier } from "./cluster-network-policy.ts";
import { readLabelSelector } from "./label-selector.ts";
import { readPolicyTypes, specFields } from "./network-policy.ts";
import { type Fields, inside, itemsOf, Notes, readFields } from "./reading.ts";

/** Thrown for a stored policy that cannot be understood, with what must hold in its place when no version of it ever could. */
export class UnreadablePolicy extends TwillError {
  readonly instead: Policy;

  /** @param instead a `brokenPolicy`. */
  constructor(cause: TwillError, instead: Policy) {
    super("invalid", instead.broken ?? cause.message, {
      cause,
      ...(cause.operation !== undefined && { operation: cause.operation }),
      ...(cause.object !== undefined && { object: cause.object }),
      ...(cause.remedy !== undefined && { remedy: cause.remedy }),
    });
    this.instead = instead;
  }
}

interface Id {
  readonly namespace?: string;
  readonly name: string;
}

/**
 * What a policy that is wrong somewhere denies: those whom it selects, as far as that can be read, else all of its namespace or of the
 * cluster; in the directions that it speaks of, else in both.
 */
export function brokenPolicy(
  kind: "NetworkPolicy" | "ClusterNetworkPolicy",
  id: Id,
  whole: Place | undefined,
  cause: TwillError,
): Policy {
  const path = cause instanceof JsonError && cause.path !== undefined ? `${cause.path}: ` : "";
  const why = `${path}${cause.message}`;
  const spec = memberOf(whole, "spec");
  return kind === "NetworkPolicy" ? brokenNetworkPolicy(id, spec, why) : brokenClusterPolicy(id, spec, why);
}

function brokenNetworkPolicy({ namespace = "", name }: Id, spec: Place | undefined, why: string): Policy {
  const fields = attempt(() => spec && readFields(spec, specFields, new Notes("datastore"), { unknown: "ignore" }));
  const types = fields && attempt(() => readPolicyTypes(fields, new Notes("datastore")));
  const both = types === undefined || misspelt(spec, specFields);
  return {
    id: { kind: "NetworkPolicy", namespace, name },
    tier: "default",
    order: 1000,
    subject: { namespace, ...labelsOf(fields) },
    ...((both || types?.has("Ingress")) && { ingress: [] }),
    ...((both || types?.has("Egress")) && { egress: [] }),
    allowsOwnNode: true,
    broken: why,
  };
}

/** Without a selector that can be read: nothing that narrows. */
function labelsOf(fields: Fields<(typeof specFields)[number]> | undefined): Pick<EndpointMatch, "labels"> {
  const selector = fields?.at("podSelector");
  const labels = selector && attempt(() => readLabelSelector(selector, new Notes("datastore")));
  return labels === undefined || labels.op === "all" ? {} : { labels };
}

function brokenClusterPolicy({ name }: Id, spec: Place | undefined, why: string): Policy {
  const fields = attempt(
    () => spec && readFields(spec, clusterSpecFields, new Notes("datastore"), { unknown: "ignore" }),
  );
  const part = <T>(field: (typeof clusterSpecFields)[number], read: (place: Place) => T): T | undefined => {
    const place = fields?.at(field);
    return place && attempt(() => read(place));
  };
  const speaksOf = (direction: "ingress" | "egress"): boolean =>
    fields?.at(direction) !== undefined && part(direction, itemsOf)?.length !== 0;
  const both = misspelt(spec, clusterSpecFields) || (!speaksOf("ingress") && !speaksOf("egress"));
  return {
    id: { kind: "ClusterNetworkPolicy", name },
    // The first that is asked, when it cannot be known where it belongs.
    tier: part("tier", readTier) ?? "kube-admin",
    order: part("priority", readPriority) ?? 0,
    subject: part("subject", (place) => readSubject(place, new Notes("datastore"))) ?? {},
    ...((both || speaksOf("ingress")) && { ingress: [] }),
    ...((both || speaksOf("egress")) && { egress: [] }),
    allowsOwnNode: false,
    broken: why,
  };
}

/** Then nobody knows what the fields that are there leave out. */
function misspelt(spec: Place | undefined, known: readonly string[]): boolean {
  return spec?.node.kind !== "object" || spec.node.members.some(({ key }) => !known.includes(key));
}

function memberOf(place: Place | undefined, name: string): Place | undefined {
  if (place?.node.kind !== "object") return undefined;
  const member = place.node.members.find(({ key }) => key === name);
  return member && inside(place, name, member.value);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

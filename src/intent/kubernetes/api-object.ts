import { TwillError } from "../../base/errors.ts";
import type { Namespace, Policy, WorkloadEndpoint } from "../../model/policy.ts";
import { nearest } from "../nearest.ts";
import { described, type Place, wrong } from "../schema.ts";
import { CLUSTER_NETWORK_POLICY_API, readClusterNetworkPolicy } from "./cluster-network-policy.ts";
import { type Metadata, readMetadata } from "./metadata.ts";
import { namespaceOf } from "./namespace.ts";
import { NETWORK_POLICY_API, readNetworkPolicy } from "./network-policy.ts";
import { readPod } from "./pod.ts";
import { inside, membersOf, missing, type Reading, readFields, readText, shown } from "./reading.ts";

/** The objects of Kubernetes that policy is made of. */
export const apiKinds = {
  NetworkPolicy: { apiVersion: NETWORK_POLICY_API, namespaced: true },
  ClusterNetworkPolicy: { apiVersion: CLUSTER_NETWORK_POLICY_API, namespaced: false },
  Namespace: { apiVersion: "v1", namespaced: false },
  Pod: { apiVersion: "v1", namespaced: true },
} as const;
export type ApiKind = keyof typeof apiKinds;
export const isApiKind = (kind: string): kind is ApiKind => Object.hasOwn(apiKinds, kind);

export type ApiObject = { readonly metadata: Metadata } & (
  | { readonly kind: "NetworkPolicy" | "ClusterNetworkPolicy"; readonly policy: Policy }
  | { readonly kind: "Namespace"; readonly namespace: Namespace }
  /** No endpoint: on the host's network, or completed. */
  | { readonly kind: "Pod"; readonly endpoint: WorkloadEndpoint | undefined }
);

/**
 * @param fallback the namespace of what names none.
 * @throws JsonError (`invalid`) for the first thing wrong.
 */
export function readApiObject(kind: ApiKind, place: Place, reading: Reading, fallback?: string): ApiObject {
  const part = (name: string): Place | undefined => {
    const member = membersOf(place).find(({ key, value }) => key === name && value.kind !== "null");
    return member && inside(place, name, member.value);
  };
  const { namespaced, apiVersion } = apiKinds[kind];
  const fields = readFields(place, ["apiVersion", "kind", "metadata", "spec", "status"], reading);
  // An API server leaves both out of lists; what says that it is something else is not to be taken for this.
  checkWord(fields.at("kind"), kind, "the kind of object that belongs here");
  checkWord(fields.at("apiVersion"), apiVersion, `the API of a ${kind}`);
  const metadata = readMetadata(
    place,
    reading,
    namespaced ? { ...(fallback !== undefined && { fallback }) } : undefined,
  );
  const spec = part("spec");
  switch (kind) {
    case "NetworkPolicy":
      return { kind, metadata, policy: readNetworkPolicy(place, spec, metadata, reading) };
    case "ClusterNetworkPolicy":
      return { kind, metadata, policy: readClusterNetworkPolicy(place, spec, metadata, reading) };
    case "Namespace":
      return { kind, metadata, namespace: namespaceOf(metadata) };
    case "Pod":
      return { kind, metadata, endpoint: readPod(spec, part("status"), metadata, reading) };
  }
}

function checkWord(place: Place | undefined, right: string, what: string): void {
  if (place === undefined || readText(place) === right) return;
  throw wrong(place, `${described(place)} is not ${what}`, `write ${right}`);
}

/** What a file says that an object is. @throws JsonError, naming what would be right. */
export function readApiKind(place: Place): ApiKind {
  const { kind, apiVersion } = kindOf(place);
  const written = readText(kind);
  const api = readText(apiVersion);
  if (/^(?:crd\.)?projectcalico\.org\//.test(api)) {
    throw wrong(
      apiVersion,
      `Calico's ${shown(written)} is not supported yet`,
      "write it as a NetworkPolicy of Kubernetes",
    );
  }
  if (!isApiKind(written)) {
    throw wrong(kind, `${described(kind)} is not a kind that is kept here`, instead(written));
  }
  checkWord(apiVersion, apiKinds[written].apiVersion, `the API of a ${written}`);
  return written;
}

/** Names that ClusterNetworkPolicy had in v1alpha1 of its API. */
const former: Readonly<Record<string, string>> = {
  AdminNetworkPolicy: "Admin",
  BaselineAdminNetworkPolicy: "Baseline",
};

function instead(written: string): string {
  const tier = Object.hasOwn(former, written) ? former[written] : undefined;
  if (tier !== undefined) return `write a ClusterNetworkPolicy (${CLUSTER_NETWORK_POLICY_API}) with tier: ${tier}`;
  const kinds = Object.keys(apiKinds);
  const meant = nearest(written, kinds);
  return meant === undefined ? `there are ${kinds.join(", ")}` : `did you mean ${meant}?`;
}

/** The places of the two fields that every object has. @throws JsonError. */
export function kindOf(place: Place): { readonly kind: Place; readonly apiVersion: Place } {
  const find = (name: string, remedy: string): Place => {
    const member = membersOf(place).find(({ key }) => key === name);
    if (member === undefined || member.value.kind === "null") throw missing({ place }, name, remedy);
    return inside(place, name, member.value);
  };
  return {
    kind: find("kind", "add kind: NetworkPolicy, or what it is"),
    apiVersion: find("apiVersion", `add apiVersion: ${NETWORK_POLICY_API}, for a NetworkPolicy`),
  };
}

/** How the store calls it: "NAMESPACE.NAME", for a namespace's name has no dot; NAME alone of what is the cluster's. */
export const storeName = ({ namespace, name }: { readonly namespace?: string; readonly name: string }): string =>
  namespace === undefined ? name : `${namespace}.${name}`;

/** @throws TwillError `invalid`. */
export function parseStoreName(kind: ApiKind, stored: string): { readonly namespace?: string; readonly name: string } {
  if (!apiKinds[kind].namespaced) return { name: stored };
  const dot = stored.indexOf(".");
  if (dot > 0 && dot < stored.length - 1) return { namespace: stored.slice(0, dot), name: stored.slice(dot + 1) };
  throw new TwillError("invalid", `${JSON.stringify(shown(stored))} is not NAMESPACE.NAME`, { object: kind });
}

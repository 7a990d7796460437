import { TwillError } from "../../src/base/errors.ts";
import { apiKinds, isApiKind, parseStoreName } from "../../src/intent/kubernetes/api-object.ts";
import { UnreadablePolicy } from "../../src/intent/kubernetes/broken-policy.ts";
import { matchText } from "../../src/intent/kubernetes/selector-text.ts";
import { decodeNamespace, decodePod, decodePolicy } from "../../src/intent/kubernetes/stored-object.ts";
import type { Labels, Policy } from "../../src/model/policy.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import type { storedKinds } from "./stored-objects.ts";

type StoredKind = (typeof storedKinds)[number];

export interface ListedObject {
  readonly namespace?: string;
  readonly name: string;
  /** As it is kept. */
  readonly value: unknown;
  readonly cells: readonly string[];
}

export const objectHeadings = (
  kind: StoredKind,
): { readonly headings: readonly string[]; readonly wide: readonly string[] } => headings[kind.api];

const policyHeadings = {
  headings: ["NAMESPACE", "NAME", "TIER", "ORDER", "PODS", "RULES", "STATE"],
  wide: ["WRITTEN AT"],
};
const headings = {
  NetworkPolicy: policyHeadings,
  ClusterNetworkPolicy: policyHeadings,
  Namespace: { headings: ["NAME", "LABELS"], wide: [] },
  Pod: { headings: ["NAMESPACE", "NAME", "NODE", "ADDRESSES", "LABELS"], wide: ["SERVICE ACCOUNT", "NAMED PORTS"] },
};

/** All of a kind, in the order of namespaces and names. */
export async function listObjects(store: Datastore, kind: StoredKind): Promise<readonly ListedObject[]> {
  const { objects } = await store.list(kind.kind);
  return objects.map(({ name: stored, value }) => {
    const id = nameOf(kind, stored);
    return { ...id, value: withKind(kind, value), cells: cellsOf(kind, id, stored, value) };
  });
}

/** What lies under a name that is none is listed, too: somebody has to find it. */
function nameOf(kind: StoredKind, stored: string): { readonly namespace?: string; readonly name: string } {
  try {
    return parseStoreName(kind.api, stored);
  } catch {
    return { name: stored };
  }
}

/** An API server leaves kind and version out of lists. */
function withKind(kind: StoredKind, bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  try {
    const value: unknown = JSON.parse(text);
    if (!isApiKind(kind.api) || typeof value !== "object" || value === null) return value;
    return { apiVersion: apiKinds[kind.api].apiVersion, kind: kind.api, ...value };
  } catch {
    return text;
  }
}

function cellsOf(
  kind: StoredKind,
  { namespace = "-", name }: { readonly namespace?: string; readonly name: string },
  stored: string,
  bytes: Uint8Array,
): readonly string[] {
  try {
    switch (kind.api) {
      case "NetworkPolicy":
      case "ClusterNetworkPolicy": {
        const { policy, warnings } = decodePolicy(kind.api, bytes, stored);
        return policyCells(policy, warnings.length === 0 ? "ok" : `${warnings.length} warnings`);
      }
      case "Namespace":
        return [name, labelsText(decodeNamespace(bytes, stored).labels)];
      case "Pod": {
        const { endpoint } = decodePod(bytes, stored);
        if (endpoint === undefined) return [namespace, name, "-", "-", "-", "-", "-"];
        const { node = "-", addresses, labels, serviceAccount = "-", ports } = endpoint;
        const named = ports.map((port) => `${port.name}=${port.port}`).join(",") || "-";
        return [namespace, name, node, addresses.join(",") || "-", labelsText(labels), serviceAccount, named];
      }
    }
  } catch (error) {
    if (error instanceof UnreadablePolicy) return policyCells(error.instead, `invalid: ${error.message}`);
    if (error instanceof TwillError) return [namespace, name, `invalid: ${error.message}`];
    throw error;
  }
}

function policyCells({ id, tier, order, subject, ingress, egress, source }: Policy, state: string): readonly string[] {
  const rules = [
    ...(ingress === undefined ? [] : [`${ingress.length} ingress`]),
    ...(egress === undefined ? [] : [`${egress.length} egress`]),
  ];
  return [
    id.namespace ?? "-",
    id.name,
    tier,
    String(order),
    matchText(subject),
    rules.join(", ") || "none",
    state,
    source === undefined ? "-" : `${source.file}:${source.line}`,
  ];
}

const labelsText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",") || "-";

import { baseOf, parsePrefix } from "../../src/base/prefix.ts";
import { storeName } from "../../src/intent/kubernetes/api-object.ts";
import { UnreadablePolicy } from "../../src/intent/kubernetes/broken-policy.ts";
import { policyNode } from "../../src/intent/kubernetes/node.ts";
import { PolicyBook } from "../../src/intent/kubernetes/policy-book.ts";
import { decodeNamespace, decodePolicy } from "../../src/intent/kubernetes/stored-object.ts";
import {
  allObjects,
  type ClusterObjects,
  type KubernetesObject,
  type NodeObject,
  type PolicyObject,
} from "./objects.ts";

/** The objects read as an agent reads them from the datastore: as bytes, under their names. */
export function twillModel(cluster: ClusterObjects): PolicyBook {
  const book = new PolicyBook();
  for (const object of allObjects(cluster)) putObject(book, object);
  return book;
}

export function putObject(book: PolicyBook, object: KubernetesObject): void {
  const bytes = new TextEncoder().encode(JSON.stringify(object));
  const stored = storeName(object.metadata);
  const { kind } = object;
  if (kind === "Namespace") book.putNamespace(decodeNamespace(bytes, stored));
  else if (kind === "Pod") book.putEndpoint(endpointName(object.metadata), book.decodePod(bytes, stored).endpoint);
  else if (kind === "Node") book.putNode(policyNode(object, tunnelAddresses(object)));
  else putPolicy(book, kind, bytes, stored);
}

function putPolicy(book: PolicyBook, kind: PolicyObject["kind"], bytes: Uint8Array, stored: string): void {
  try {
    book.putPolicy(decodePolicy(kind, bytes, stored));
    book.noteUnreadable(kind, stored, undefined);
  } catch (error) {
    if (!(error instanceof UnreadablePolicy)) throw error;
    book.noteUnreadable(kind, stored, error);
  }
}

/** The agents know each other's from their leases. */
const tunnelAddresses = ({ spec }: NodeObject) => (spec?.podCIDRs ?? []).map((cidr) => baseOf(parsePrefix(cidr)));

export function deleteObject(book: PolicyBook, object: KubernetesObject): void {
  const { kind } = object;
  if (kind === "Namespace") book.deleteNamespace(object.metadata.name);
  else if (kind === "Pod") book.putEndpoint(endpointName(object.metadata), undefined);
  else if (kind === "Node") book.deleteNode(object.metadata.name);
  else book.deletePolicy(kind, storeName(object.metadata));
}

const endpointName = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
  `${namespace}/${name}`;

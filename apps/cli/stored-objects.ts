import { TwillError } from "../../src/base/errors.ts";
import type { ApiKind } from "../../src/intent/kubernetes/api-object.ts";
import { nearest } from "../flags.ts";
import { CLUSTER_NETWORK_POLICIES, NAMESPACES, NETWORK_POLICIES, PODS } from "../kinds.ts";

/** Kubernetes' objects that `twill apply` writes and `get` and `delete` know, by the words for them. */
interface StoredKind {
  readonly api: ApiKind;
  /** Of the datastore, and the plural that people type. */
  readonly kind: string;
  readonly words: readonly string[];
}

export const storedKinds: readonly StoredKind[] = [
  { api: "NetworkPolicy", kind: NETWORK_POLICIES, words: ["networkpolicy", "netpol"] },
  { api: "ClusterNetworkPolicy", kind: CLUSTER_NETWORK_POLICIES, words: ["clusternetworkpolicy", "cnp"] },
  { api: "Namespace", kind: NAMESPACES, words: ["namespace", "ns"] },
  { api: "Pod", kind: PODS, words: ["pod", "po"] },
];

/** Both of a cluster's kinds of policies. */
const POLICIES = "policies";
export const storedKindWords: readonly string[] = [POLICIES, ...storedKinds.map(({ kind }) => kind)];

export const storeKindOf = (api: ApiKind): string => storedKinds.find((each) => each.api === api)?.kind ?? api;

/** Undefined: no word for any. */
export function findStoredKinds(word: string): readonly StoredKind[] | undefined {
  const lower = word.toLowerCase();
  if (lower === POLICIES || lower === "policy") return storedKinds.filter(({ api }) => api.endsWith("Policy"));
  const found = storedKinds.filter(({ kind, words }) => kind === lower || words.includes(lower));
  return found.length === 0 ? undefined : found;
}

/** One kind. @throws TwillError `invalid`. */
export function needStoredKind(word: string, others: readonly string[]): StoredKind {
  const found = findStoredKinds(word);
  const [only] = found ?? [];
  if (only !== undefined && found?.length === 1) return only;
  const known = [...others, ...storedKinds.map(({ words: [first = ""] }) => first)];
  const near = nearest(word, known);
  throw new TwillError("invalid", `"${word}" is not a kind of object`, {
    remedy: near === undefined ? `there are ${known.join(", ")}` : `did you mean ${near}?`,
  });
}

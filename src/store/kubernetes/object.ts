/** The parts of Kubernetes' API objects that we read (reference: k8s.io/apimachinery meta/v1, k8s.io/api core/v1). */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  /** Comparable as a whole number between objects of one cluster (KEP-5504); we rely on it only to notice a step back. */
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
  /** Base64. */
  readonly binaryData?: Readonly<Record<string, string>>;
}

export interface Node extends KubernetesObject {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly conditions?: readonly NodeCondition[];
  };
}

export interface NodeCondition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason?: string;
  readonly message?: string;
  /** RFC 3339. */
  readonly lastTransitionTime?: string;
}

/** What the API answers when something failed, and the body of a watch's ERROR event. */
export interface Status {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly kind?: string; readonly name?: string; readonly retryAfterSeconds?: number };
}

export interface ObjectList<T extends KubernetesObject> {
  /** Everything in `items` is as of this moment: watch from here. */
  readonly resourceVersion: string;
  readonly items: readonly T[];
}

/** A change, or a bookmark: nothing of what is watched changed up to `resourceVersion`. */
export type ObjectEvent<T extends KubernetesObject> =
  | { readonly type: "added" | "modified" | "deleted"; readonly object: T; readonly resourceVersion: string }
  | { readonly type: "bookmark"; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether it has what every API object has: a name and a resource version. */
export function isObject(
  value: unknown,
): value is KubernetesObject & { readonly metadata: { resourceVersion: string } } {
  if (!isRecord(value) || !isRecord(value.metadata)) return false;
  const { name, resourceVersion } = value.metadata;
  return typeof name === "string" && name !== "" && typeof resourceVersion === "string" && resourceVersion !== "";
}

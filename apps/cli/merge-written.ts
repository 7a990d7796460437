import type { ApiKind } from "../../src/intent/kubernetes/api-object.ts";

export type Plain = Readonly<Record<string, unknown>>;

/**
 * What a person wrote, put over what is there. A policy is what was written, whole. Of a namespace or pod others have written parts (its
 * node, the lab, the API server): what the file does not speak of stays. A server's bookkeeping and others' annotations stay in any case.
 */
export function mergeWritten(kind: ApiKind, before: Plain, written: Plain): Plain {
  const shared = kind === "Namespace" || kind === "Pod";
  const { labels: oldLabels, ...oldMetadata } = plain(before.metadata);
  const { labels, annotations, ...metadata } = plain(written.metadata);
  return {
    ...(shared && before),
    ...written,
    metadata: {
      ...oldMetadata,
      ...metadata,
      ...some("labels", { ...(shared && plain(oldLabels)), ...plain(labels) }),
      ...some("annotations", { ...plain(oldMetadata.annotations), ...plain(annotations) }),
    },
    ...(shared && some("spec", { ...plain(before.spec), ...plain(written.spec) })),
    ...(written.status === undefined && before.status !== undefined && { status: before.status }),
  };
}

const plain = (value: unknown): Plain => (typeof value === "object" && value !== null ? (value as Plain) : {});

const some = (name: string, value: Plain): Plain => (Object.keys(value).length === 0 ? {} : { [name]: value });

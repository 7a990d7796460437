import type { Namespace } from "../../model/policy.ts";
import type { Metadata } from "./metadata.ts";

/** The API server sets it to the namespace's name (k8s.io/api core/v1, LabelMetadataName), and people select by it. */
export const NAME_LABEL = "kubernetes.io/metadata.name";

/** With the label of its name, which nothing but an API server adds. */
export const namespaceOf = ({ name, labels }: Metadata): Namespace => ({
  name,
  labels: { ...labels, [NAME_LABEL]: name },
});

import type { Rule } from "./ledger.ts";

/** Rules for what surrounds the settings in a manifest: administration, rights, containers. */
const rules = (outcome: Rule["outcome"], reason: string, ...patterns: readonly string[]): readonly Rule[] =>
  patterns.map((pattern) => ({ pattern, outcome, reason, minor: true }));

/** Rules for what a user may have set on purpose. */
const tell = (reason: string, ...patterns: readonly string[]): readonly Rule[] =>
  patterns.map((pattern) => ({ pattern, outcome: "left-out", reason, minor: false }));

export const metadata: readonly Rule[] = [
  ...rules(
    "covered",
    "identity of the object; Twill's manifest has objects of its own",
    "apiVersion",
    "kind",
    "metadata.name",
  ),
  ...rules("covered", "Twill's manifest has a namespace of its own", "metadata.namespace"),
  ...rules(
    "left-out",
    "Twill's objects carry labels and annotations of their own",
    "metadata.labels.*",
    "metadata.annotations.*",
  ),
  ...rules(
    "covered",
    "bookkeeping of the API server",
    ...[
      "creationTimestamp",
      "generation",
      "resourceVersion",
      "selfLink",
      "uid",
      "managedFields.**",
      "ownerReferences.**",
    ].map((field) => `metadata.${field}`),
    "status.**",
  ),
];

const ownManifest = "Twill's manifest brings its own, for what Twill does";

/** What else of a kind needs no thought. Kinds that are not here have metadata rules only. */
const byKind: Readonly<Record<string, readonly Rule[]>> = {
  Namespace: rules("covered", "Twill's manifest has a namespace of its own", "spec.finalizers.*"),
  ServiceAccount: rules("covered", ownManifest, "secrets.**", "imagePullSecrets.**", "automountServiceAccountToken"),
  ClusterRole: rules(
    "covered",
    ownManifest,
    ...["apiGroups", "resources", "resourceNames", "verbs", "nonResourceURLs"].map((field) => `rules.*.${field}.*`),
  ),
  ClusterRoleBinding: rules(
    "covered",
    ownManifest,
    ...["apiGroup", "kind", "name"].map((field) => `roleRef.${field}`),
    ...["apiGroup", "kind", "name", "namespace"].map((field) => `subjects.*.${field}`),
  ),
  PodSecurityPolicy: rules("covered", "PodSecurityPolicy is no longer in Kubernetes (since 1.25)", "spec.**"),
  PodDisruptionBudget: rules("covered", "for a component of Calico's that Twill does not have", "spec.**"),
  Deployment: rules("covered", "a component of Calico's that Twill does not have", "spec.**"),
  Service: rules("covered", "of a component of Calico's that Twill does not have", "spec.**"),
  Secret: tell("what it is for is named where it is used", "data.**", "stringData.**", "type", "immutable"),
  ConfigMap: rules("covered", "how the object is kept", "immutable"),
};
byKindAlias("Role", "ClusterRole");
byKindAlias("RoleBinding", "ClusterRoleBinding");

function byKindAlias(alias: string, kind: string): void {
  Object.assign(byKind, { [alias]: byKind[kind] });
}

export const sceneryOf = (kind: string): readonly Rule[] => [...metadata, ...(byKind[kind] ?? [])];

const pod = "spec.template.spec";

/** A DaemonSet beside the settings of its pods' placement and of its containers. */
export const daemonSet: readonly Rule[] = [
  ...metadata,
  ...rules(
    "covered",
    "Twill's manifest labels and selects its own pods",
    "spec.selector.**",
    "spec.template.metadata.**",
  ),
  ...tell(
    "Twill's manifest says how it is updated; maxUnavailable is a value of its Helm chart",
    "spec.updateStrategy.**",
    "spec.minReadySeconds",
    "spec.revisionHistoryLimit",
  ),
  ...rules(
    "covered",
    "Twill's manifest says what its pods need",
    ...[
      "hostNetwork",
      "hostPID",
      "hostIPC",
      "serviceAccountName",
      "serviceAccount",
      "securityContext.**",
      "terminationGracePeriodSeconds",
      "restartPolicy",
      "schedulerName",
      "automountServiceAccountToken",
    ].map((field) => `${pod}.${field}`),
  ),
  ...tell("add it to Twill's manifest if its image comes from a registry of yours", `${pod}.imagePullSecrets.**`),
  ...tell(
    "the agent asks no name server; add it to Twill's manifest if yours must",
    `${pod}.dnsPolicy`,
    `${pod}.dnsConfig.**`,
    `${pod}.hostAliases.**`,
  ),
  ...rules("covered", "Twill's manifest mounts what Twill needs", `${pod}.volumes.**`),
];

/** The container of flanneld or calico-node, at its path, beside its flags and environment. */
export const agentContainer = (path: string): readonly Rule[] => [
  ...rules("covered", "Twill's own image", `${path}.name`, `${path}.image`, `${path}.imagePullPolicy`),
  ...tell("measured for another program; Twill's manifest has its own", `${path}.resources.**`),
  ...rules(
    "covered",
    "Twill's manifest says what its container needs",
    ...["securityContext.**", "volumeMounts.**", "lifecycle.**", "ports.**", "tty", "stdin"].map(
      (field) => `${path}.${field}`,
    ),
    ...[
      "livenessProbe.**",
      "readinessProbe.**",
      "startupProbe.**",
      "terminationMessagePath",
      "terminationMessagePolicy",
    ].map((field) => `${path}.${field}`),
  ),
];

/** Everything of a DaemonSet for nodes that cannot have Twill. */
export const unusable = (reason: string): readonly Rule[] => tell(reason, "**");

/** A container whose work Twill's own init container does. */
export const installer = (path: string): readonly Rule[] =>
  rules("covered", "Twill's manifest installs the plugin, the agent its configuration", `${path}.**`);

/** A whole container that has no counterpart. */
export const foreignContainer = (path: string): readonly Rule[] =>
  tell("a container that neither Flannel's nor Calico's manifest has; add it to Twill's if you need it", `${path}.**`);

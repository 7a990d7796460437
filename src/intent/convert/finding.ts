/** What became of a value of the manifest. */
export type Outcome =
  /** It stands in net-conf.json, in the flags or in the pod's settings, meaning the same. */
  | "carried"
  /** Nothing needs to be set: Twill, or its manifest, does this anyway. */
  | "covered"
  /** Something else was put in its place; `reason` says what and why. */
  | "changed"
  /** It has no place in Twill; `reason` says what that means. */
  | "left-out"
  /** We do not know what it is. */
  | "unknown"
  /** There is no safe equivalent: nothing is written before the user has accepted what happens instead. */
  | "refused";

export interface Finding {
  /** "DaemonSet kube-flannel-ds" */
  readonly object: string;
  /** How people call it: "--iface", "CALICO_IPV4POOL_IPIP", "Backend.Type"; else the path. What --accept takes. */
  readonly name: string;
  /** Shown to people: on one line, cut, never a secret. */
  readonly value: string;
  readonly outcome: Outcome;
  /** Whole sentences or a phrase: what it becomes, or why it does not, and what that means for the user. */
  readonly reason: string;
  /** A refusal only: what is done when it is accepted. */
  readonly ifAccepted?: string;
  /** What surrounds the settings in every manifest: names, rights, mounts. People are told how much of it there is. */
  readonly minor?: true;
}

export interface PodSettings {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly unknown[];
  readonly affinity?: unknown;
  readonly priorityClassName?: string;
  /** Environment of the agent that its flags or the way to the API server need, as Kubernetes writes it. */
  readonly env?: readonly unknown[];
}

/** What `twill convert` found. A manifest of ours is rendered from netConf (ConfigMap), flags (args) and pod. */
export interface Conversion {
  readonly version: 1;
  readonly from: "flannel" | "canal" | "calico";
  /** Text of net-conf.json, checked. Undefined when a refusal leaves the network open. */
  readonly netConf: string | undefined;
  /** Of twill-agent: "--iface=eth1". "$(NAME)" in a value is replaced by Kubernetes from pod.env. */
  readonly flags: readonly string[];
  /** The same flags as variables, TWILL_IFACE, for a ConfigMap; without those that need "$(NAME)". */
  readonly environment: Readonly<Record<string, string>>;
  readonly pod: PodSettings;
  readonly findings: readonly Finding[];
}

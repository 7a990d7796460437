import type { PodSettings } from "./finding.ts";
import { isMapping, listAt, type Path } from "./leaves.ts";
import type { ObjectReader } from "./ledger.ts";

const spec: Path = ["spec", "template", "spec"];

/** Labels that kubelets still set, and what Kubernetes calls them since 1.14. */
const renamed: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": "kubernetes.io/arch",
  "beta.kubernetes.io/os": "kubernetes.io/os",
};

/** Architectures for which there is a Twill. */
const built = ["amd64", "arm64"];

/** The nodes that a DaemonSet is for. */
export interface Platform {
  readonly arch: string | undefined;
  readonly os: string | undefined;
}

/** By node selector or by required node affinity, as kube-flannel.yml has it since v0.12. */
export function platformOf(object: ObjectReader): Platform {
  const selector = object.at(...spec, "nodeSelector");
  const found: Record<string, string> = {};
  for (const [key, value] of Object.entries(isMapping(selector) ? selector : {}))
    found[renamed[key] ?? key] = String(value);
  for (const term of listAt(object.value, [...spec, ...requiredTerms])) {
    for (const { key, operator, values } of listAt(term, ["matchExpressions"]).filter(isMapping)) {
      if (operator === "In" && Array.isArray(values) && values.length === 1)
        found[renamed[String(key)] ?? String(key)] = String(values[0]);
    }
  }
  return { arch: found["kubernetes.io/arch"], os: found["kubernetes.io/os"] };
}

const requiredTerms: Path = [
  "affinity",
  "nodeAffinity",
  "requiredDuringSchedulingIgnoredDuringExecution",
  "nodeSelectorTerms",
];

/** Why no Twill runs on those nodes; undefined when one does. */
export function platformProblem({ arch, os }: Platform): string | undefined {
  if (os !== undefined && os !== "linux") return `Twill runs on Linux only: nodes of ${os} have no pod network by it`;
  if (arch !== undefined && !built.includes(arch))
    return `Twill is built for ${built.join(" and ")}: nodes of ${arch} have no pod network by it`;
  return undefined;
}

/**
 * Where the pods may run, and how urgent they are.
 * @param several there is a DaemonSet an architecture; Twill has one image for all, so their architecture is no choice of the user's.
 */
export function readPlacement(object: ObjectReader, several: boolean): PodSettings {
  const settings: { -readonly [K in keyof PodSettings]: PodSettings[K] } = {};
  const selector = object.at(...spec, "nodeSelector");
  for (const [key, value] of Object.entries(isMapping(selector) ? selector : {})) {
    const path = [...spec, "nodeSelector", key];
    const name = renamed[key] ?? key;
    if (several && name === "kubernetes.io/arch") {
      object.note(path, "covered", "one DaemonSet serves all architectures");
      continue;
    }
    settings.nodeSelector = { ...settings.nodeSelector, [name]: String(value) };
    object.note(
      path,
      name === key ? "carried" : "changed",
      name === key ? "nodeSelector" : `${name}: its name since Kubernetes 1.14`,
    );
  }
  const tolerations = object.at(...spec, "tolerations");
  if (Array.isArray(tolerations)) {
    settings.tolerations = tolerations;
    object.note([...spec, "tolerations"], "carried", "tolerations");
  }
  const affinity = object.at(...spec, "affinity");
  if (affinity !== undefined && affinity !== null) {
    const modern = modernised(affinity, several);
    if (modern !== undefined) settings.affinity = modern;
    const same = JSON.stringify(modern) === JSON.stringify(affinity);
    object.note(
      [...spec, "affinity"],
      same ? "carried" : "changed",
      same ? "affinity" : "affinity, without the architecture and with the labels' names of today",
    );
  }
  const priority = object.at(...spec, "priorityClassName");
  if (typeof priority === "string") {
    settings.priorityClassName = priority;
    object.note([...spec, "priorityClassName"], "carried", "priorityClassName");
  }
  return settings;
}

/** Kubernetes takes a term without expressions for one that no node matches, so what is left empty goes with it. */
function modernised(value: unknown, withoutArch: boolean): unknown {
  if (Array.isArray(value)) {
    const kept = value.filter((item) => !(withoutArch && isMapping(item) && isArch(item.key)));
    const inner = kept.map((item) => modernised(item, withoutArch)).filter((item) => item !== undefined);
    return inner.length === 0 && value.length > 0 ? undefined : inner;
  }
  if (!isMapping(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [
    key,
    key === "key" && typeof inner === "string" ? (renamed[inner] ?? inner) : modernised(inner, withoutArch),
  ]);
  const kept = entries.filter(([, inner]) => inner !== undefined);
  return kept.length === 0 && entries.length > 0 ? undefined : Object.fromEntries(kept);
}

const isArch = (key: unknown): boolean => typeof key === "string" && (renamed[key] ?? key) === "kubernetes.io/arch";

import { isMapping, listAt, type Path, valueAt } from "./leaves.ts";
import type { Ledger, ObjectReader } from "./ledger.ts";

/** ConfigMaps of the files, by name: what `configMapKeyRef` points at. */
export type ConfigMaps = ReadonlyMap<string, ObjectReader>;

/** One variable of a container. */
export interface Variable {
  readonly name: string;
  /** What the process sees; undefined when only the running pod can know. */
  readonly value: string | undefined;
  /** As the manifest has it, to be carried into ours. */
  readonly entry: unknown;
  /** In words, when the value is not written here: "spec.nodeName of the pod". */
  readonly from: string | undefined;
}

/**
 * A container's variables by name. Their entries are claimed; whoever takes a variable says what becomes of it. Of two of one name
 * Kubernetes uses the later.
 */
export function readEnvironment(object: ObjectReader, container: Path, configs: ConfigMaps, ledger: Ledger) {
  const variables = new Map<string, Variable>(
    sharedVariables(object, container, configs).map((variable) => [variable.name, variable]),
  );
  for (const [index, entry] of listAt(object.value, [...container, "env"]).entries()) {
    const path = [...container, "env", index];
    if (!isMapping(entry) || typeof entry.name !== "string") continue;
    const variable = { name: entry.name, entry, ...readValue(entry, configs) };
    for (const known of knownParts) object.claim([...path, ...known]);
    const twin = variables.get(entry.name);
    if (twin !== undefined)
      ledger.note(subjectOf(object, twin), "left-out", "the name stands twice; Kubernetes uses the later");
    variables.set(entry.name, variable);
  }
  return variables;
}

/** `envFrom`: all of a ConfigMap; what `env` says goes before it. */
function sharedVariables(object: ObjectReader, container: Path, configs: ConfigMaps): readonly Variable[] {
  return listAt(object.value, [...container, "envFrom"]).flatMap((entry, index) => {
    const path = [...container, "envFrom", index];
    const name = valueAt(entry, ["configMapRef", "name"]);
    if (typeof name !== "string") return [];
    const data = configs.get(name)?.at("data");
    for (const part of ["name", "optional"]) object.claim([...path, "configMapRef", part]);
    if (!isMapping(data)) {
      const reason =
        "that ConfigMap is not in the given files; if your cluster has it, give it, too: it may say where the API server is";
      object.note([...path, "configMapRef", "name"], "left-out", reason);
      return [];
    }
    object.note([...path, "configMapRef", "name"], "covered", "its variables are named one by one");
    return Object.entries(data).map(([key, value]) => {
      const literal = { name: key, value: String(value) };
      return { ...literal, entry: literal, from: undefined };
    });
  });
}

const reference = (kind: string, ...fields: readonly string[]): readonly Path[] =>
  fields.map((field) => ["valueFrom", kind, field]);

const knownParts: readonly Path[] = [
  ["name"],
  ["value"],
  ...reference("configMapKeyRef", "name", "key", "optional"),
  ...reference("secretKeyRef", "name", "key", "optional"),
  ...reference("fieldRef", "fieldPath", "apiVersion"),
  ...reference("resourceFieldRef", "resource", "containerName", "divisor"),
];

export const subjectOf = (object: ObjectReader, variable: Variable) => ({
  object: object.title,
  name: variable.name,
  value: variable.value ?? variable.from ?? "",
});

function readValue(entry: Readonly<Record<string, unknown>>, configs: ConfigMaps): Pick<Variable, "value" | "from"> {
  const field = valueAt(entry, ["valueFrom", "fieldRef", "fieldPath"]);
  if (field !== undefined) return { value: undefined, from: `${field} of the pod` };
  const secret = valueAt(entry, ["valueFrom", "secretKeyRef", "name"]);
  if (secret !== undefined) return { value: undefined, from: `Secret ${secret}` };
  const name = valueAt(entry, ["valueFrom", "configMapKeyRef", "name"]);
  if (name !== undefined) {
    const key = String(valueAt(entry, ["valueFrom", "configMapKeyRef", "key"]));
    const found = configs.get(String(name))?.at("data", key);
    if (found !== undefined) return { value: String(found), from: undefined };
    return { value: undefined, from: `ConfigMap ${name}, which is not in the given files` };
  }
  if (isMapping(entry.valueFrom)) return { value: undefined, from: Object.keys(entry.valueFrom).join(", ") };
  return { value: entry.value === undefined || entry.value === null ? "" : String(entry.value), from: undefined };
}

/**
 * $(NAME) in arguments as Kubernetes replaces it, where the value is written in the manifest; the names of the others, whose values only
 * the running pod has, are returned too. "$$" stands for "$".
 */
export function expand(text: string, variables: ReadonlyMap<string, Variable>) {
  const open: string[] = [];
  const expanded = text.replace(/\$\$|\$\(([^)]+)\)/g, (whole, name: string | undefined) => {
    const variable = name === undefined ? undefined : variables.get(name);
    if (variable === undefined) return whole;
    if (variable.value !== undefined) return variable.value;
    open.push(variable.name);
    return whole;
  });
  return { text: expanded, open };
}

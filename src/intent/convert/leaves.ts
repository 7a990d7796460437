/** Where a value stands inside an object. */
export type Path = readonly (string | number)[];

/** A value that holds no other: a scalar, or an empty list or mapping. */
export interface Leaf {
  readonly path: Path;
  readonly value: unknown;
}

export const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What stands at the path; undefined when nothing does. */
export function valueAt(root: unknown, path: Path): unknown {
  let current = root;
  for (const step of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, step)) return undefined;
    current = (current as Record<string | number, unknown>)[step];
  }
  return current;
}

export const listAt = (root: unknown, path: Path): readonly unknown[] => {
  const found = valueAt(root, path);
  return Array.isArray(found) ? found : [];
};

export function leavesOf(value: unknown, path: Path = []): readonly Leaf[] {
  if (typeof value !== "object" || value === null) return [{ path, value }];
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  if (entries.length === 0) return [{ path, value }];
  return entries.flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}

/** "spec.containers[kube-flannel].env[0]": members of a list by their name, where they have one. */
export function formatPath(root: unknown, path: Path): string {
  let text = "";
  path.forEach((step, depth) => {
    if (typeof step === "string") {
      const plain = /^[\w-]+$/.test(step) ? step : JSON.stringify(step);
      text += text === "" ? plain : `.${plain}`;
      return;
    }
    const name = valueAt(root, [...path.slice(0, depth + 1), "name"]);
    text += `[${typeof name === "string" ? name : step}]`;
  });
  return text;
}

/** A pattern is a path with "*" for any one step and "**", last, for any rest: "metadata.labels.**". */
export function matches(pattern: string, path: Path): boolean {
  const steps = pattern.split(".");
  const open = steps.at(-1) === "**";
  if (open) steps.pop();
  if (open ? path.length < steps.length : path.length !== steps.length) return false;
  return steps.every((step, index) => step === "*" || step === String(path[index]));
}

/** A value in one line for people. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  const line = text.replace(/\s+/g, " ").replace(/\p{C}/gu, "·").trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

import { TwillError } from "../../base/errors.ts";
import { parseYaml } from "../yaml/yaml.ts";
import { isMapping } from "./leaves.ts";

/** A Kubernetes object as it stands in a manifest, unchecked. */
export interface ManifestObject {
  readonly kind: string;
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
}

export interface ManifestFile {
  /** What errors call it: a path. */
  readonly source: string;
  readonly text: string;
}

/** "DaemonSet kube-flannel-ds" */
export const titleOf = ({ kind, name }: ManifestObject): string => (name === "" ? kind : `${kind} ${name}`);

/**
 * All objects of the files, those inside a List (`kubectl get -o yaml`) singly.
 * @throws TwillError `invalid` naming file and line.
 */
export const readManifests = (files: readonly ManifestFile[]): readonly ManifestObject[] =>
  files.flatMap(({ source, text }) =>
    parseYaml(text, source).flatMap(({ value, line }) => objectsOf(value, `${source} line ${line}`)),
  );

function objectsOf(value: unknown, place: string): readonly ManifestObject[] {
  const kind = isMapping(value) ? value.kind : undefined;
  if (!isMapping(value) || typeof kind !== "string") {
    throw new TwillError("invalid", "this is not a Kubernetes object: it has no kind", {
      operation: "read",
      object: place,
      remedy: "give the manifest as `kubectl apply -f` takes it, or what `kubectl get -o yaml` prints",
    });
  }
  // What a List holds beside its items is the server's bookkeeping.
  if (kind.endsWith("List") && Array.isArray(value.items)) return value.items.flatMap((item) => objectsOf(item, place));
  const name = isMapping(value.metadata) && typeof value.metadata.name === "string" ? value.metadata.name : "";
  return [{ kind, name, value }];
}

import { TwillError } from "../../base/errors.ts";
import { type JsonNode, plainValue } from "../../base/json.ts";
import { type Place, rootOf } from "../schema.ts";
import { parseYamlStream } from "../yaml/yaml.ts";
import { type ApiKind, type ApiObject, readApiKind, readApiObject, storeName } from "./api-object.ts";
import { inside, itemsOf, lineOf, membersOf, Notes, type Warning } from "./reading.ts";
import { formatSource, SOURCE } from "./source.ts";

/** A file of Kubernetes' objects, in YAML or JSON. */
export interface ManifestFile {
  /** What errors call it: a path. */
  readonly source: string;
  readonly text: string;
}

/** An object that a person wrote, checked. */
export interface WrittenObject {
  readonly kind: ApiKind;
  /** Its name in the store. */
  readonly stored: string;
  /** As it is to be kept: as written, unknown fields too, without what a server adds; with its namespace and where it was written. */
  readonly value: Readonly<Record<string, unknown>>;
  readonly read: ApiObject;
  readonly file: string;
  readonly line: number;
  readonly warnings: readonly Warning[];
}

/** "NetworkPolicy shop/web" */
export const titleOf = ({ kind, read: { metadata } }: Pick<WrittenObject, "kind" | "read">): string =>
  `${kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;

/**
 * All objects of the files, those inside of a List singly.
 * @param namespace of objects that name none.
 * @throws JsonError for the first thing wrong in any of them: file, line, field, value, and what would be right.
 */
export function readManifests(files: readonly ManifestFile[], namespace: string): readonly WrittenObject[] {
  const objects = files.flatMap(({ source, text }) =>
    parseYamlStream(text, source).flatMap((document) =>
      singly(rootOf(document)).map((place) => readOne(place, namespace)),
    ),
  );
  refuseTwins(objects);
  return objects;
}

/** What a List holds beside its items is the server's bookkeeping. */
function singly(place: Place): readonly Place[] {
  const member = (name: string) =>
    place.node.kind === "object" ? place.node.members.find(({ key }) => key === name)?.value : undefined;
  const kind = member("kind");
  const items = member("items");
  if (kind?.kind !== "string" || !kind.value.endsWith("List") || items === undefined) return [place];
  return itemsOf(inside(place, "items", items)).flatMap(singly);
}

function readOne(place: Place, namespace: string): WrittenObject {
  const kind = readApiKind(place);
  const notes = new Notes("file");
  const read = readApiObject(kind, place, notes, namespace);
  const { source: file } = place.document;
  const line = lineOf(place);
  const value = withMetadata(place.node, read, sourceOf(place, read));
  return { kind, stored: storeName(read.metadata), value, read, file, line, warnings: notes.warnings };
}

/** Policies only: what is said of them names their lines. */
function sourceOf(place: Place, read: ApiObject): string | undefined {
  if (!("policy" in read)) return undefined;
  const lines = (name: "ingress" | "egress"): readonly number[] => {
    const spec = membersOf(place).find(({ key }) => key === "spec")?.value;
    const rules = spec?.kind === "object" ? spec.members.find(({ key }) => key === name)?.value : undefined;
    return rules?.kind === "array" ? rules.items.map((node) => lineOf({ ...place, node })) : [];
  };
  const { source } = place.document;
  return formatSource({ file: source, line: lineOf(place), ingress: lines("ingress"), egress: lines("egress") });
}

/** What a server keeps for itself, and `kubectl get -o yaml` prints. */
const serverMetadata = new Set(["resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"]);

type Plain = Readonly<Record<string, unknown>>;

function withMetadata(node: JsonNode, { kind, metadata }: ApiObject, source: string | undefined): Plain {
  const value = plainValue(node) as Plain;
  const written = Object.entries(value.metadata as Plain).filter(([name]) => !serverMetadata.has(name));
  const annotations = { ...metadata.annotations, ...(source !== undefined && { [SOURCE]: source }) };
  const { status, ...rest } = value;
  return {
    ...rest,
    metadata: {
      ...Object.fromEntries(written),
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
      ...(Object.keys(annotations).length > 0 && { annotations }),
    },
    ...(kind === "Pod" && status !== undefined && status !== null && { status }),
  };
}

function refuseTwins(objects: readonly WrittenObject[]): void {
  const seen = new Map<string, WrittenObject>();
  for (const object of objects) {
    const title = titleOf(object);
    const first = seen.get(title);
    if (first !== undefined) {
      throw new TwillError("invalid", `${title} stands twice, first in ${first.file} line ${first.line}`, {
        operation: "read",
        object: `${object.file} line ${object.line}`,
        remedy: "keep one of the two",
      });
    }
    seen.set(title, object);
  }
}

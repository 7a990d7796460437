/**
 * The manifests' own YAML writer: block style, in the order given, with comments, which no library's writer keeps. Texts are
 * quoted as JSON wherever YAML could read them as something else.
 */
export type Yaml = string | number | boolean | Note | Parameter | readonly Yaml[] | { readonly [key: string]: Yaml };

/** A value with a comment above it, for the reader of the manifest. */
export class Note {
  readonly comment: string;
  readonly value: Yaml;
  constructor(comment: string, value: Yaml) {
    this.comment = comment;
    this.value = value;
  }
}

/** A value that Helm's users may choose, by its name in values.yaml. */
export class Parameter {
  readonly name: string;
  readonly fallback: Exclude<Yaml, Note | Parameter>;
  /** One sentence for values.yaml. */
  readonly help: string;
  constructor(name: string, fallback: Exclude<Yaml, Note | Parameter>, help: string) {
    this.name = name;
    this.fallback = fallback;
    this.help = help;
  }
}

/** What becomes of parameters: their own values, or Helm's template. */
export type Rendering = "values" | "helm";

/** JSON is YAML, so one form of template serves texts, numbers, lists and maps alike. */
export const helmExpression = ({ name }: Parameter): string => `{{ toJson .Values.${name} }}`;

/** One document per object, each behind "---" but the first. */
export const toDocuments = (objects: readonly Yaml[], rendering: Rendering): string =>
  objects.map((object) => block(object, "", rendering).trimStart()).join("---\n");

/** A map, list or scalar, each line indented; begins with a line end where it stands behind a key. */
function block(value: Yaml, indent: string, rendering: Rendering): string {
  const plain = resolve(value, rendering);
  if (typeof plain === "string" && plain.startsWith("|")) return literal(plain, indent);
  if (typeof plain !== "object") return ` ${plain}\n`;
  if (Array.isArray(plain)) {
    if (plain.length === 0) return " []\n";
    return `\n${plain.map((item) => comment(item, indent) + listItem(item, indent, rendering)).join("")}`;
  }
  const entries = Object.entries(plain);
  if (entries.length === 0) return " {}\n";
  const line = ([key, item]: [string, Yaml]): string => {
    const inner = resolve(item, rendering);
    // Lists stand as deep as their key, as kubectl writes them.
    const deeper = Array.isArray(inner) ? indent : `${indent}  `;
    return `${comment(item, indent)}${indent}${scalar(key)}:${block(item, deeper, rendering)}`;
  };
  return `\n${entries.map(line).join("")}`;
}

function listItem(item: Yaml, indent: string, rendering: Rendering): string {
  const text = block(item, `${indent}  `, rendering);
  // The first key stands behind the dash, unless a comment stands there.
  if (!text.startsWith("\n")) return `${indent}-${text}`;
  const first = text.slice(1);
  return first.trimStart().startsWith("#") ? `${indent}-\n${first}` : `${indent}- ${first.trimStart()}`;
}

type Resolved = string | readonly Yaml[] | { readonly [key: string]: Yaml };

/** Scalars as they are to be written; notes and parameters replaced. */
function resolve(value: Yaml, rendering: Rendering): Resolved {
  if (value instanceof Note) return resolve(value.value, rendering);
  if (value instanceof Parameter)
    return rendering === "helm" ? helmExpression(value) : resolve(value.fallback, rendering);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" ? scalar(value) : value;
}

const comment = (value: Yaml, indent: string): string =>
  value instanceof Note
    ? value.comment
        .split("\n")
        .map((line) => `${indent}# ${line}\n`)
        .join("")
    : "";

/** "|" and the lines, which end with a line end. */
const literal = (text: string, indent: string): string => ` |\n${text.slice(1).replace(/^(?=.)/gm, indent)}`;

/** Plain where YAML 1.1 and 1.2 agree that it is a text; several lines as a literal block. */
function scalar(text: string): string {
  if (/^\S/.test(text) && text.endsWith("\n")) return `|${text}`;
  const plain = /^[A-Za-z/][A-Za-z0-9 ._/()-]*$/.test(text) && !text.endsWith(" ");
  return plain && !/^(?:true|false|yes|no|on|off|null|y|n)$/i.test(text) ? text : JSON.stringify(text);
}

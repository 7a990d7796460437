import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { agentOptions } from "../apps/agent/options.ts";
import { objects, parameters } from "./deploy/objects.ts";
import { Note, Parameter, toDocuments, type Yaml } from "./deploy/yaml.ts";
import { deployFiles } from "./deploy.ts";

const folder = join(import.meta.dir, "../deploy");
const files = deployFiles();
const file = (name: string): string => files.get(name) ?? "";

/** Documents of a YAML text. */
function parse(text: string): unknown[] {
  const parsed: unknown = Bun.YAML.parse(text);
  return Array.isArray(parsed) ? parsed : [parsed];
}

/** The value without notes and parameters. */
function plain(value: Yaml): unknown {
  if (value instanceof Note) return plain(value.value);
  if (value instanceof Parameter) return plain(value.fallback);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const wanted = objects().map(plain);
const bySort = (documents: readonly unknown[]): string[] => documents.map((object) => JSON.stringify(object)).sort();

/** Helm's part of the language that our templates use, and nothing more: {{ toJson .Values.NAME }}. */
function helmTemplate(values: Readonly<Record<string, unknown>>): unknown[] {
  const templates = [...files].filter(([name]) => name.startsWith("helm/twill/templates/")).map(([, text]) => text);
  return templates.flatMap((template) =>
    parse(
      template.replaceAll(/{{(.*?)}}/g, (all, inside: string) => {
        const name = /^ toJson \.Values\.(\w+) $/.exec(inside)?.[1];
        if (name === undefined || !(name in values)) throw new Error(`${all} is not of the form that this test knows`);
        return JSON.stringify(values[name]);
      }),
    ),
  );
}

test("deploy/ holds what the source says (npm run deploy writes it)", () => {
  for (const [name, content] of files) expect(readFileSync(join(folder, name), "utf8"), name).toBe(content);
  const there = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(there.length).toBe(files.size);
});

test("the manifest says in YAML what the source says", () => {
  expect(parse(file("twill.yaml"))).toEqual(wanted);
});

test("kustomize gives the same objects", () => {
  const { resources } = Bun.YAML.parse(file("kustomize/kustomization.yaml")) as { resources: string[] };
  expect(bySort(resources.flatMap((name) => parse(file(`kustomize/${name}`))))).toEqual(bySort(wanted));
  const named = [...files.keys()].filter((name) => name.startsWith("kustomize/")).length;
  expect(named).toBe(resources.length + 1);
});

test("Helm's chart, with the values that it comes with, gives the same objects", () => {
  const values = Bun.YAML.parse(file("helm/twill/values.yaml")) as Record<string, unknown>;
  expect(Object.keys(values)).toEqual(parameters.map(({ name }) => name));
  expect(bySort(helmTemplate(values))).toEqual(bySort(wanted));
});

test("each of Helm's values reaches the objects, whatever its characters", () => {
  const values = Bun.YAML.parse(file("helm/twill/values.yaml")) as Record<string, unknown>;
  const before = JSON.stringify(helmTemplate(values));
  for (const { name, fallback } of parameters) {
    const other = typeof fallback === "string" ? 'a: "b" #c\n- d' : { x: "y" };
    const rendered = JSON.stringify(helmTemplate({ ...values, [name]: other }));
    expect(rendered, name).not.toBe(before);
    expect(rendered, name).toContain(JSON.stringify(other));
  }
});

test("texts that YAML would take for something else stay texts", () => {
  const texts = [
    "",
    "yes",
    "1.5",
    "0x10",
    "null",
    "a: b",
    "- a",
    "# no",
    " a",
    "a ",
    "|",
    "&a",
    "*",
    "%",
    "a\nb\n",
    "\n",
    "é",
  ];
  const value = { texts, deep: [[{ a: texts }], []], none: {}, yes: "no", "a: b": true };
  expect(parse(toDocuments([value], "values"))).toEqual([value]);
});

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

test("the agent understands its flags, and every path in them is mounted", () => {
  const daemonSet = wanted.find((object) => (object as { kind: string }).kind === "DaemonSet") as {
    spec: { template: { spec: { containers: Container[]; initContainers: Container[]; volumes: { name: string }[] } } };
  };
  const { containers, initContainers, volumes } = daemonSet.spec.template.spec;
  const [agent] = containers;
  const options = agentOptions(agent?.args ?? [], { TWILL_NODE_NAME: "node1" });
  const paths = agent?.volumeMounts.map(({ mountPath }) => mountPath) ?? [];
  for (const path of [options.stateDir, options.runDir, options.cniConfDir, options.sysctlDir])
    expect(paths).toContain(path);
  expect(paths).toContain(options.subnetFile.replace(/\/[^/]*$/, ""));
  expect(options.netConfigPath).toBeUndefined();
  const used = [...containers, ...initContainers].flatMap(({ volumeMounts }) => volumeMounts.map(({ name }) => name));
  expect(new Set(used)).toEqual(new Set(volumes.map(({ name }) => name)));
});

test("real kubectl, where there is one, builds the same from the kustomize base", () => {
  const kubectl = Bun.which("kubectl");
  if (kubectl === null) {
    process.stderr.write("kubectl is not on this machine: the base was read by this test's own code only\n");
    return;
  }
  const built = Bun.spawnSync([kubectl, "kustomize", join(folder, "kustomize")], { timeout: 20_000 });
  expect(built.stderr.toString()).toBe("");
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .sort()
        .map(([key, item]) => [key, sorted(item)]),
    );
  };
  const all = parse(built.stdout.toString());
  expect(bySort(all.map(sorted))).toEqual(bySort(wanted.map(sorted)));
});

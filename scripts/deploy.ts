/**
 * `npm run deploy`: writes deploy/twill.yaml, deploy/kustomize and deploy/helm/twill, all three from scripts/deploy/objects.ts.
 * A test says when they are stale.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root, version } from "./build.ts";
import { type Manifest, objects, parameters } from "./deploy/objects.ts";
import { Note, toDocuments } from "./deploy/yaml.ts";

const header = `# Made by "npm run deploy" from scripts/deploy/objects.ts; change it there.\n`;

/** Path below deploy/ → content. */
export function deployFiles(): ReadonlyMap<string, string> {
  const all = objects();
  const files = new Map<string, string>([["twill.yaml", header + toDocuments(all, "values")]]);
  const parts = byFile(all);
  for (const [name, part] of parts) files.set(`kustomize/${name}`, header + toDocuments(part, "values"));
  files.set(
    "kustomize/kustomization.yaml",
    header +
      toDocuments(
        [{ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", resources: [...parts.keys()] }],
        "values",
      ),
  );
  for (const [name, part] of parts) files.set(`helm/twill/templates/${name}`, header + toDocuments(part, "helm"));
  files.set(
    "helm/twill/Chart.yaml",
    header +
      toDocuments(
        [
          {
            apiVersion: "v2",
            name: "twill",
            description: "The pod network of a Kubernetes cluster",
            type: "application",
            version,
            appVersion: version,
            kubeVersion: ">=1.30.0-0",
          },
        ],
        "values",
      ),
  );
  const values = Object.fromEntries(parameters.map(({ name, help, fallback }) => [name, new Note(help, fallback)]));
  files.set("helm/twill/values.yaml", header + toDocuments([values], "values"));
  return files;
}

const fileNames: readonly (readonly [string, RegExp])[] = [
  ["namespace.yaml", /^Namespace$/],
  ["rbac.yaml", /^(ServiceAccount|(Cluster)?Role(Binding)?)$/],
  ["admission.yaml", /^ValidatingAdmissionPolicy(Binding)?$/],
  ["configuration.yaml", /^(ConfigMap|Secret)$/],
  ["daemonset.yaml", /^DaemonSet$/],
];

function byFile(all: readonly Manifest[]): ReadonlyMap<string, readonly Manifest[]> {
  const files = new Map(fileNames.map(([name, kinds]) => [name, all.filter(({ kind }) => kinds.test(kind))]));
  const placed = [...files.values()].flat().length;
  if (placed !== all.length) throw new Error(`${all.length - placed} objects belong to no file of the base`);
  return files;
}

if (import.meta.main) {
  const folder = join(root, "deploy");
  rmSync(folder, { recursive: true, force: true });
  for (const [name, content] of deployFiles()) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

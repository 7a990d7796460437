import type { Conversion } from "../../src/intent/convert/finding.ts";

/** Names in deploy/twill.yaml. */
const namespace = "twill-system";

/** A text of several lines as YAML's block scalar (YAML 1.2 section 8.1). JSON, so white space around it is free to go. */
const block = (json: string, indent: string): string =>
  `|\n${json
    .trim()
    .split(/\r?\n/)
    .map((line) => indent + line)
    .join("\n")}\n`;

/** What deploy/twill.yaml reads: the two ConfigMaps, to be applied over its own. */
export function configMaps({ netConf = "", environment }: Conversion): string {
  const head = (name: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n  namespace: ${namespace}\ndata:`;
  const variables = Object.entries(environment).map(([name, value]) => `\n  ${name}: ${JSON.stringify(value)}`);
  const written = variables.length === 0 ? " {}" : variables.join("");
  return `${head("twill-config")}\n  net-conf.json: ${block(netConf, "    ")}---\n${head("twill-environment")}${written}\n`;
}

/** Values of the Helm chart, deploy/helm/twill. */
export function helmValues({ netConf = "", environment, pod }: Conversion): string {
  const values = { environment, ...(pod.tolerations !== undefined && { tolerations: pod.tolerations }) };
  return `netConf: ${block(netConf, "  ")}${Bun.YAML.stringify(values, null, 2)}\n`;
}

/** Settings of the pods that neither can say: to be added to the DaemonSet by hand. */
export function byHand({ pod, flags }: Conversion): readonly string[] {
  const { "kubernetes.io/os": _, ...nodeSelector } = pod.nodeSelector ?? {};
  const references = (pod.env ?? []).filter((entry) => JSON.stringify(entry).includes("valueFrom"));
  return [
    ...(Object.keys(nodeSelector).length > 0 ? [`nodeSelector: ${JSON.stringify(nodeSelector)}`] : []),
    ...(pod.affinity !== undefined ? [`affinity: ${JSON.stringify(pod.affinity)}`] : []),
    ...(references.length > 0 ? [`env: ${JSON.stringify(references)}`] : []),
    ...flags.filter((flag) => flag.includes("$(")).map((flag) => `args: ${flag}`),
  ];
}

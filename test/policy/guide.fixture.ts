import type { ClusterObjects, Container, NamespaceObject, NodeObject, PodObject } from "../oracle/objects.ts";

/** A piece of the guide: policies, and what is said of them. */
export interface Example {
  readonly title: string;
  /** Line of docs/policy.md, from 1. */
  readonly line: number;
  readonly yaml: string;
  readonly rows: readonly Row[];
}

export interface Row {
  readonly line: number;
  readonly from: string;
  readonly to: string;
  readonly verdict: string;
}

export interface Mistake {
  readonly line: number;
  readonly yaml: string;
  readonly said: string;
}

/** Every yaml block of the guide with the table behind it, and every one that is wrong with what is said of it. */
export function readGuide(text: string): {
  readonly examples: readonly Example[];
  readonly mistakes: readonly Mistake[];
} {
  const examples: Example[] = [];
  const mistakes: Mistake[] = [];
  const blocks = [
    ...text.matchAll(/^(#+ .*)$|^```(\w+)( wrong)?\n([\s\S]*?)^```$|^\| from \| to \| \|\n\|[-|]+\n((?:\|.*\n)+)/gm),
  ];
  const lineAt = (index: number): number => text.slice(0, index).split("\n").length;
  let title = "";
  for (const [at, { index, 1: heading, 2: language, 3: wrong, 4: block }] of blocks.entries()) {
    if (heading !== undefined) title = heading.replace(/^#+ /, "");
    if (language !== "yaml" || block === undefined) continue;
    const line = lineAt(index);
    const next = blocks[at + 1];
    if (wrong !== undefined) mistakes.push({ line, yaml: block, said: next?.[2] === "text" ? (next[4] ?? "") : "" });
    else examples.push({ title, line, yaml: block, rows: rowsOf(next?.[5], lineAt(next?.index ?? 0) + 2) });
  }
  return { examples, mistakes };
}

function rowsOf(table: string | undefined, firstLine: number): readonly Row[] {
  return (table ?? "")
    .split("\n")
    .filter((row) => row !== "")
    .map((row, index) => {
      const [from = "", to = "", verdict = ""] = row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim());
      return { line: firstLine + index, from, to, verdict };
    });
}

const namespace = (name: string, labels: Record<string, string> = {}): NamespaceObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});

const node = (name: string, zone: string, index: number): NodeObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels: { zone } },
  spec: { podCIDRs: [`10.244.${index}.0/24`] },
  status: { addresses: [{ type: "InternalIP", address: `192.168.50.${index}` }] },
});

function pod(
  where: string,
  node: string,
  address: string,
  labels: Record<string, string>,
  ...ports: Container[]
): PodObject {
  const [namespace = "", name = ""] = where.split("/");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { nodeName: node, containers: ports },
    status: { phase: "Running", podIP: address, podIPs: [{ ip: address }] },
  };
}

const port = (name: string, containerPort: number): Container => ({ name: "main", ports: [{ name, containerPort }] });

/** As the table at the guide's beginning has it. */
export const guideCluster: ClusterObjects = {
  namespaces: [
    namespace("shop", { team: "shop" }),
    namespace("bank", { team: "bank" }),
    namespace("monitoring", { purpose: "monitoring" }),
    namespace("kube-system"),
  ],
  nodes: [node("n1", "a", 1), node("n2", "b", 2)],
  pods: [
    pod("shop/web", "n1", "10.244.1.2", { app: "web" }, port("http", 80)),
    pod("shop/cart", "n2", "10.244.2.2", { app: "cart" }, port("http", 8080)),
    pod("shop/db", "n1", "10.244.1.3", { app: "db" }, port("sql", 5432)),
    pod("bank/teller", "n2", "10.244.2.3", { app: "teller" }, port("http", 80)),
    pod("monitoring/prometheus", "n2", "10.244.2.4", { app: "prometheus" }),
    pod("monitoring/grafana", "n2", "10.244.2.5", { app: "grafana" }),
    pod("kube-system/coredns", "n2", "10.244.2.6", { "k8s-app": "kube-dns" }),
  ],
  policies: [],
};

import type { Address } from "../src/base/address.ts";
import type { Prefix } from "../src/base/prefix.ts";

/** The cluster as the picture shows it; a plain value that `--json` prints too. */
export interface ClusterView {
  readonly outside: readonly Address[];
  readonly mtu: number;
  readonly subnets: readonly SubnetView[];
}
export interface SubnetView {
  readonly name: string;
  readonly prefixes: readonly Prefix[];
  readonly nodes: readonly NodeView[];
}
export interface NodeView {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly podSubnets: readonly Prefix[];
  /** Shown when something is not as usual: "stopped", "agent stopped", "cable unplugged". */
  readonly trouble: readonly string[];
  readonly pods: readonly { readonly name: string; readonly addresses: readonly Address[] }[];
}

/**
 * The outside, the router and its subnets down the left side, each subnet's nodes hanging from it as boxes, wrapped to
 * the width. Lines without trailing blanks.
 */
export function drawCluster(view: ClusterView, width: number): string[] {
  const lines = [...labelled(" outside", view.outside), "    │", " router", "    │"];
  view.subnets.forEach((subnet, index) => {
    const last = index === view.subnets.length - 1;
    lines.push(...drawSubnet(subnet, last ? "    └──" : "    ├──", last ? "     " : "    │", width));
    if (!last) lines.push("    │");
  });
  return lines.map((line) => line.trimEnd());
}

const indent = 7;
const gap = "  ";

function drawSubnet(subnet: SubnetView, branch: string, trunk: string, width: number): string[] {
  const label = `${branch} ${[subnet.name, ...subnet.prefixes].join("  ")}`;
  if (subnet.nodes.length === 0) return [`${label}  (no nodes)`];
  const lines = [label];
  for (const row of wrapBoxes(subnet.nodes.map(drawNode), width - indent)) {
    lines.push(bus(`${trunk.padEnd(indent)} └`, row));
    lines.push(...joinBoxes(row).map((line) => trunk.padEnd(indent) + line));
  }
  return lines;
}

/** The line that a row of boxes hangs from, a ┬ above each. */
function bus(start: string, row: readonly string[][]): string {
  let line = start;
  let left = indent;
  for (const box of row) {
    line = `${line.padEnd(left + Math.floor(widthOfBox(box) / 2), "─")}┬`;
    left += widthOfBox(box) + gap.length;
  }
  return line;
}

function drawNode(node: NodeView): string[] {
  const rows = [
    ...labelled(node.name, node.addresses),
    ...node.trouble.map((trouble) => `! ${trouble}`),
    ...labelled("pods in", node.podSubnets),
    ...node.pods.flatMap((pod) => labelled(` ${pod.name}`, pod.addresses)),
  ];
  const inner = Math.max(...rows.map((row) => row.length)) + 2;
  const half = Math.floor((inner + 2) / 2) - 1;
  return [
    `┌${"─".repeat(half)}┴${"─".repeat(inner - half - 1)}┐`,
    ...rows.map((row) => `│ ${row.padEnd(inner - 2)} │`),
    `└${"─".repeat(inner)}┘`,
  ];
}

/** One row a value, the label before the first: a dual-stack node stays as narrow as another. */
function labelled(label: string, values: readonly string[]): string[] {
  return values.map((value, index) => `${index === 0 ? label : " ".repeat(label.length)} ${value}`);
}

const widthOfBox = (box: readonly string[]): number => box[0]?.length ?? 0;

function wrapBoxes(boxes: readonly string[][], width: number): string[][][] {
  const rows: string[][][] = [];
  let used = 0;
  for (const box of boxes) {
    const row = rows.at(-1);
    if (row === undefined || used + gap.length + widthOfBox(box) > width) {
      rows.push([box]);
      used = widthOfBox(box);
    } else {
      row.push(box);
      used += gap.length + widthOfBox(box);
    }
  }
  return rows;
}

function joinBoxes(row: readonly string[][]): string[] {
  const height = Math.max(...row.map((box) => box.length));
  return Array.from({ length: height }, (_, line) =>
    row.map((box) => (box[line] ?? "").padEnd(widthOfBox(box))).join(gap),
  );
}

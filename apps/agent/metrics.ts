/** Prometheus text format (exposition 0.0.4). Values are read when they are asked for; nothing is kept twice. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly values: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[];
}

export const counter = (name: string, help: string, value: number): Metric => ({
  name,
  help,
  type: "counter",
  values: [{ value }],
});
export const gauge = (name: string, help: string, value: number): Metric => ({
  name,
  help,
  type: "gauge",
  values: [{ value }],
});

/** One metric with a label taken from the keys. */
export const byLabel = (
  type: Metric["type"],
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<string, number>>,
): Metric => ({
  name,
  help,
  type,
  values: Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value })),
});

export function formatMetrics(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const metric of metrics) {
    lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`);
    for (const { labels, value } of metric.values) {
      const pairs = Object.entries(labels ?? {}).map(([key, text]) => `${key}="${escaped(text)}"`);
      lines.push(
        `${metric.name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${Number.isFinite(value) ? value : "NaN"}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

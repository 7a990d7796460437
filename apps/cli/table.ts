/** Rows under headings, columns as wide as needed, two spaces between; the last column is never padded. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(displayWidth(heading), ...rows.map((row) => displayWidth(row[column] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    headings
      .map((_, column) => {
        const cell = cells[column] ?? "";
        const last = column === headings.length - 1;
        return last ? cell : cell + " ".repeat((widths[column] ?? 0) - displayWidth(cell));
      })
      .join("  ")
      .trimEnd();
  return `${[line(headings), ...rows.map(line)].join("\n")}\n`;
}

const displayWidth = (cell: string): number => Bun.stringWidth(cell);

/** "3s", "4m", "2h", "5d": as kubectl shows ages. */
export function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** "0.13 ms". */
export const milliseconds = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ms`;

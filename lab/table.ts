/** Text in a table; `colour` is applied after padding, so that columns stay aligned. */
export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}
export type Colour = "red" | "green" | "yellow" | "dim" | "bold";

const codes: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** ANSI colours only where the reader wants them: a terminal, and NO_COLOR unset (no-color.org). */
export type Paint = (text: string, colour: Colour | undefined) => string;
export const painter =
  (enabled: boolean): Paint =>
  (text, colour) =>
    enabled && colour !== undefined ? `\x1b[${codes[colour]}m${text}\x1b[0m` : text;

/** Columns as wide as their widest cell, two blanks apart; the last is not padded. Lines without trailing blanks. */
export function drawTable(headings: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.text.length ?? 0)),
  );
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, column) => {
        const padding = column === cells.length - 1 ? "" : " ".repeat((widths[column] ?? 0) - cell.text.length + 2);
        return paint(cell.text, cell.colour) + padding;
      })
      .join("")
      .trimEnd();
  return [line(headings.map((text) => ({ text, colour: "bold" }))), ...rows.map(line)];
}

/** What is being done right now: one line that is overwritten on a terminal, a line each elsewhere. */
export interface ProgressLine {
  show(text: string): void;
  /** Takes the line away again. */
  clear(): void;
}

const takeLineAway = "\r\x1b[K";

export function progressLine(stream: {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}): ProgressLine {
  let shown = "";
  if (stream.isTTY !== true) {
    // "adding pods: 3 of 8" would be eight lines in a log.
    const topic = (text: string) => text.split(":")[0] ?? text;
    return {
      show: (text) => {
        if (topic(text) !== topic(shown)) stream.write(`${topic(text)}\n`);
        shown = text;
      },
      clear: () => {},
    };
  }
  return {
    show: (text) => {
      stream.write(`${takeLineAway}${text.slice(0, (stream.columns ?? 80) - 1)}`);
      shown = text;
    },
    clear: () => {
      if (shown !== "") stream.write(takeLineAway);
      shown = "";
    },
  };
}

/** Of a sample: what benchmarks print. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Half of the distance between the quartiles: how noisy the machine was. */
  readonly spread: number;
}

/** Nearest-rank quantile of sorted values. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    count: sorted.length,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    minimum: sorted[0] ?? Number.NaN,
    maximum: sorted.at(-1) ?? Number.NaN,
    spread: (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2,
  };
}

export interface Ratio {
  readonly ratio: number;
  /** Half of the distance between the quartiles of the neighbours' ratios. */
  readonly spread: number;
  /** How far the ratio may be off: 95 % confidence of a median, 1.57 quartile distances by √n (McGill, Tukey, Larsen 1978). */
  readonly uncertainty: number;
}

/**
 * The ratio of two medians that were taken in turns (a, b, a, b…), with the spread of the ratios of neighbours: noise that
 * hits both sides of a pair cancels out.
 */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): Ratio {
  const ratios = ours.slice(0, theirs.length).map((value, index) => value / (theirs[index] ?? Number.NaN));
  const { p50, spread, count } = summarize(ratios);
  return { ratio: p50, spread, uncertainty: (1.57 * 2 * spread) / Math.sqrt(count) };
}

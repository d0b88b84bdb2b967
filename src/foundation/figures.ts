/** What is made of measured numbers: pure. */

/** The value in the middle; the mean of the two in the middle when there are as many. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] as number;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] as number;
  return (upper + lower) / 2;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spreadOf(values: readonly number[], digits = 0): Spread {
  return {
    median: rounded(median(values), digits),
    min: rounded(Math.min(...values), digits),
    max: rounded(Math.max(...values), digits),
  };
}

export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest rank: every figure is a value that was measured. */
export function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) =>
    rounded(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN, 2);
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

/**
 * How one thing fared beside another: the median of the ratios of each round. What the machine does
 * meanwhile hits both runs of a round alike, so this says more than the ratio of two medians.
 */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Spread {
  const ratios = ours.map((value, round) => value / (theirs[round] as number));
  return spreadOf(ratios, 2);
}

export function rounded(value: number, digits = 0): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}

/**
 * Latencies counted, not kept: buckets that grow by 2 % hold any number of them in a few kilobytes.
 * A quantile is the upper edge of its bucket, so it is at most 2 % too high and never too low.
 */
const growth = 1.02;
const smallestMs = 0.01;
const bucketCount = Math.ceil(Math.log(86_400_000 / smallestMs) / Math.log(growth)) + 2;

export interface LatencySummary {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class LatencyHistogram {
  readonly #buckets = new Float64Array(bucketCount);
  #count = 0;
  #maxMs = 0;

  /** Below zero counts as zero: a receipt can overtake the answer to its own commit. */
  record(ms: number): void {
    const bounded = Math.max(0, ms);
    this.#maxMs = Math.max(this.#maxMs, bounded);
    this.#count += 1;
    const bucket = bucketOf(bounded);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  summary(): LatencySummary {
    return {
      p50: rounded(this.#quantile(0.5)),
      p99: rounded(this.#quantile(0.99)),
      max: rounded(this.#maxMs),
    };
  }

  #quantile(share: number): number {
    const rank = Math.ceil(this.#count * share);
    let seen = 0;
    for (const [bucket, count] of this.#buckets.entries()) {
      seen += count;
      if (count > 0 && seen >= rank) return Math.min(smallestMs * growth ** bucket, this.#maxMs);
    }
    return 0;
  }
}

function bucketOf(ms: number): number {
  if (ms <= smallestMs) return 0;
  return Math.min(bucketCount - 1, Math.ceil(Math.log(ms / smallestMs) / Math.log(growth)));
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

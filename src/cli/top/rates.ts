/** Two samples become rates; the rates before become a history. Pure. */
import type { Sample } from "../../outbox/overview.ts";

export interface Rates {
  /** Events a second; null with the first sample, and when the statistics were reset in between. */
  readonly writtenPerSecond: number | null;
  readonly removedPerSecond: number | null;
}

export interface History {
  readonly written: readonly number[];
  readonly removed: readonly number[];
  readonly backlog: readonly number[];
}

export const noHistory: History = { written: [], removed: [], backlog: [] };

const historyLength = 30;

export function ratesBetween(before: Sample | undefined, now: Sample): Rates {
  const seconds = before === undefined ? 0 : (now.clockMs - before.clockMs) / 1_000;
  const rate = (from: number, to: number) => (seconds <= 0 || to < from ? null : (to - from) / seconds);
  return {
    writtenPerSecond: before === undefined ? null : rate(before.written, now.written),
    removedPerSecond: before === undefined ? null : rate(before.removed, now.removed),
  };
}

export function extended(history: History, rates: Rates, sample: Sample): History {
  const add = (values: readonly number[], value: number | null) =>
    value === null ? values : [...values, value].slice(-historyLength);
  return {
    written: add(history.written, rates.writtenPerSecond),
    removed: add(history.removed, rates.removedPerSecond),
    backlog: add(history.backlog, sample.backlog.events),
  };
}

/**
 * The metrics of one process, and Prometheus' text format of them. Adding is an addition in a map; text
 * is only made when it is asked for.
 *
 * Every metric has a bound on its series: from there on a new combination of labels counts under
 * `(other)`, which no topic can be called. A typing error that invents topics cannot fill a Prometheus.
 */
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelValues,
  type MetricName,
  type MetricRow,
  metricTable,
} from "./metric-table.ts";

/** Series of one metric, the one named `(other)` not counted. */
export const seriesMax = 100;
export const overflowLabel = "(other)";
export const expositionType = "text/plain; version=0.0.4; charset=utf-8";

interface Tally {
  /** How many fell at or below each bound and above the one before; the last is above all bounds. */
  readonly counts: number[];
  sum: number;
}

const separator = "\u0000";
const rows: Readonly<Record<MetricName, MetricRow>> = metricTable;

export class Registry {
  readonly #series = new Map<MetricName, Map<string, number>>();
  readonly #tallies = new Map<HistogramName, Tally>();

  constructor() {
    for (const [name, row] of Object.entries(rows) as [MetricName, MetricRow][]) {
      if (row.type === "histogram") {
        this.#tallies.set(name as HistogramName, { counts: row.bounds.map(() => 0).concat(0), sum: 0 });
      } else {
        // A counter that appears with its first increment hides that increment from `rate`.
        this.#series.set(name, new Map(row.labels.length === 0 ? [["", 0]] : []));
      }
    }
  }

  add<N extends CounterName>(name: N, amount: number, ...labels: LabelValues<N>): void {
    const series = this.#seriesOf(name);
    const key = keyOf(series, labels);
    series.set(key, (series.get(key) ?? 0) + amount);
  }

  set<N extends GaugeName>(name: N, value: number, ...labels: LabelValues<N>): void {
    const series = this.#seriesOf(name);
    series.set(keyOf(series, labels), value);
  }

  observe(name: HistogramName, value: number): void {
    const tally = this.#tallies.get(name);
    if (tally === undefined) return;
    const { bounds } = metricTable[name];
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at += 1;
    tally.counts[at] = (tally.counts[at] ?? 0) + 1;
    tally.sum += value;
  }

  /** The value of one series, for tests and for health; 0 when it has none. */
  valueOf<N extends CounterName | GaugeName>(name: N, ...labels: LabelValues<N>): number {
    return this.#seriesOf(name).get(labels.join(separator)) ?? 0;
  }

  /** Prometheus' text format, version 0.0.4. */
  render(): string {
    const lines: string[] = [];
    for (const [name, row] of Object.entries(rows) as [MetricName, MetricRow][]) {
      const samples =
        row.type === "histogram" ? this.#renderTally(name, row.bounds) : this.#renderSeries(name, row);
      if (samples.length === 0) continue;
      lines.push(`# HELP ${name} ${escapeHelp(row.meaning)}`, `# TYPE ${name} ${row.type}`, ...samples);
    }
    return `${lines.join("\n")}\n`;
  }

  #seriesOf(name: MetricName): Map<string, number> {
    const series = this.#series.get(name) ?? new Map<string, number>();
    this.#series.set(name, series);
    return series;
  }

  #renderSeries(name: MetricName, { labels }: MetricRow): string[] {
    return [...this.#seriesOf(name)].map(([key, value]) => {
      const values = key.split(separator);
      const shown = labels.map((label, at) => `${label}="${escapeLabel(values[at] ?? "")}"`).join(",");
      return `${name}${shown === "" ? "" : `{${shown}}`} ${numberText(value)}`;
    });
  }

  #renderTally(name: MetricName, bounds: readonly number[]): string[] {
    const tally = this.#tallies.get(name as HistogramName);
    if (tally === undefined) return [];
    let total = 0;
    const lines = tally.counts.map((count, at) => {
      total += count;
      return `${name}_bucket{le="${bounds[at] ?? "+Inf"}"} ${total}`;
    });
    return [...lines, `${name}_sum ${numberText(tally.sum)}`, `${name}_count ${total}`];
  }
}

function keyOf(series: ReadonlyMap<string, number>, labels: readonly string[]): string {
  const key = labels.length === 1 ? (labels[0] as string) : labels.join(separator);
  return series.has(key) || series.size < seriesMax ? key : labels.map(() => overflowLabel).join(separator);
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

const escapeHelp = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const escapeLabel = (text: string) => escapeHelp(text).replaceAll('"', '\\"');

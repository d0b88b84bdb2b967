/** Which tables and plots each benchmark shows. Pure. */

import { type Quantiles, rounded, type Spread, spreadOf } from "../../src/foundation/figures.ts";
import type { DrainBench, Other } from "./drain.ts";
import type { ExactlyOnceFigures, Throughput } from "./exactly-once.ts";
import type { LatencyBench } from "./latency.ts";
import type { Page } from "./page.ts";
import type { Bar, Plot } from "./plot.ts";

export interface Presentation {
  readonly page: Page;
  readonly plots: Readonly<Record<string, Plot>>;
}

export const spread = ({ median, min, max }: Spread): string => `${median} (${min} to ${max})`;
export const barOf = (label: string, { median, min, max }: Spread): Bar => ({
  label,
  value: median,
  min,
  max,
});
const costOf = (micros: Readonly<Record<string, number>>): number[] =>
  ["relay", "postgres", "kafka"].map((part) => rounded(micros[part] ?? micros.process ?? 0, 1));

/** Of what a run left out. */
const unknown: Spread = { median: Number.NaN, min: Number.NaN, max: Number.NaN };

const costHead = ["process", "PostgreSQL", "Kafka"];

export function presentDrain(figures: DrainBench): Presentation {
  const { events, aggregates, payloadBytes } = figures.backlog;
  const names = Object.keys(figures.ratios) as Other[];
  const rows = names.map((name) => [
    name,
    spread(figures.pace[name] ?? unknown),
    spread(figures.ratioSpreads[name] ?? unknown),
    ...costOf(figures.referenceCpuMicrosPerEvent[name] ?? {}),
  ]);
  const relay = ["relay", spread(figures.pace.relay ?? unknown), "1", ...costOf(figures.cpuMicrosPerEvent)];
  const bars = (["relay", ...names] as const).map((name) => barOf(name, figures.pace[name] ?? unknown));
  const { relay: steadyRelay = unknown, debezium } = figures.steadyPace;
  const peer =
    debezium === undefined
      ? ""
      : ` *debezium* is its PostgreSQL connector with the outbox event router in Kafka Connect standalone, with what was written while its slot waited; counted from its first event in the topic to its last, so without its start, which takes seconds; it deletes nothing. Once warm, in the middle eight tenths, it makes ${spread(debezium)} events a second, the relay ${spread(steadyRelay)}.`;
  return {
    page: {
      title: "Draining a backlog",
      method: `A backlog of ${events} events of ${payloadBytes} bytes over ${aggregates} aggregates, started cold; ${figures.rounds} rounds, turn by turn. *client* is the Kafka client alone with the same messages from memory; *postgres* reads and deletes the rows and tells nobody; *loop* selects 1,000 in order, sends and deletes.${peer}`,
      plots: ["drain"],
      tables: [
        {
          caption:
            "Median of all rounds, lowest and highest in brackets; processor time in microseconds an event.",
          head: ["", "events/s", "relay by this", ...costHead],
          rows: [relay, ...rows],
        },
      ],
    },
    plots: { drain: { title: "Draining a backlog", unit: "events a second", groups: [{ label: "", bars }] } },
  };
}

export const quantileHead = ["p50", "p95", "p99", "max"];
export const quantileKeys = ["p50", "p95", "p99", "max"] as const;

const across = (all: readonly Quantiles[], key: (typeof quantileKeys)[number]): Spread =>
  spreadOf(
    all.map((one) => one[key]),
    1,
  );

const idleParts = ["process", "postgres", "kafka"] as const;

export function presentLatency(figures: LatencyBench): Presentation {
  const kinds = [
    [`${figures.eventsPerSecond} events/s`, figures.steadyMs],
    ["first event after idle", figures.afterIdleMs],
  ] as const;
  const sides = Object.keys(figures.steadyMs) as (keyof typeof figures.steadyMs)[];
  const tables = kinds.map(([caption, all]) => ({
    caption: `${caption}, milliseconds:`,
    head: ["", ...quantileHead],
    rows: sides.map((side) => [side, ...quantileKeys.map((key) => spread(across(all[side] ?? [], key)))]),
  }));
  const { nobody, sides: idle, seconds } = figures.idlePercent;
  const idleTable = {
    caption: `Nothing to do, over ${seconds} s: hundredths of a core. PostgreSQL and Kafka with nobody connected need ${nobody.postgres} and ${nobody.kafka} of them.`,
    head: ["", ...costHead],
    rows: sides.map((side) => [side, ...idleParts.map((part) => idle[side]?.[part] ?? Number.NaN)]),
  };
  const groups = (["p50", "p95", "p99"] as const).map((key) => ({
    label: key,
    bars: sides.map((side) => barOf(side, across(figures.steadyMs[side] ?? [], key))),
  }));
  return {
    page: {
      title: "From the commit to the consumer",
      method: `Transactions of ${figures.eventsPerTransaction} events; measured from the answer to the commit to the consumer's batch, writer, relay and consumer each a process of its own; ${figures.rounds} rounds, turn by turn. *loop* is what is written in an afternoon, polling as often as an idle relay.${sides.includes("debezium") ? " *debezium* is its PostgreSQL connector with the outbox event router in Kafka Connect standalone, without any waiting for company and with `poll.interval.ms=1`; *thriftyDebezium* is the same with 10." : ""}`,
      plots: ["latency"],
      tables: [...tables, idleTable],
    },
    plots: { latency: { title: "From the commit to the consumer", unit: "milliseconds", groups } },
  };
}

const modes = ["at-least-once", "exactly-once"] as const;

export function presentExactlyOnce(figures: ExactlyOnceFigures): Presentation {
  const { throughput, latencyMs, failover } = figures;
  const groups = throughput.map(({ batchEventsMax, eventsPerSecond }) => ({
    label: `batches of ${batchEventsMax}`,
    bars: modes.map((mode) => barOf(mode, eventsPerSecond[mode] as Spread)),
  }));
  const latencyTable = {
    caption: "Latency at a steady rate, to a consumer of committed records, milliseconds:",
    head: ["", ...quantileHead],
    rows: modes.map((mode) => [
      mode,
      ...quantileKeys.map((key) => spread(across(latencyMs?.[mode] ?? [], key))),
    ]),
  };
  const failoverTable = {
    caption: `From \`kill -9\` to what the next relay publishes of the dead one's shards, leases of ${failover?.leaseTtlMs} ms:`,
    head: ["kill", "first event, ms", "every group, ms"],
    rows: (failover?.rounds ?? []).map(({ firstMs, allMs }, at) => [at + 1, firstMs, allMs]),
  };
  return {
    page: {
      title: "What exactly-once delivery costs",
      method:
        "At-least-once and exactly-once drain copies of one backlog, turn by turn. The whole drain counts, from the relay's first word to the last row deleted, so the takeover of four transactional producers is in it; *steady* is the middle eight tenths alone.",
      plots: throughput.length === 0 ? [] : ["exactly-once"],
      tables: [
        ...(throughput.length === 0 ? [] : [paceTable(throughput), costTable(throughput)]),
        ...(latencyMs === null ? [] : [latencyTable]),
        ...(failover === null ? [] : [failoverTable]),
      ],
    },
    plots:
      throughput.length === 0
        ? {}
        : { "exactly-once": { title: "A backlog, drained in both modes", unit: "events a second", groups } },
  };
}

function paceTable(throughput: readonly Throughput[]) {
  return {
    caption: "Events a second: median of the rounds, lowest and highest in brackets.",
    head: ["batches", ...modes, "ratio", "ratio, steady"],
    rows: throughput.map(({ batchEventsMax, eventsPerSecond, ratio, steadyRatio }) => [
      batchEventsMax,
      ...modes.map((mode) => spread(eventsPerSecond[mode] as Spread)),
      spread(ratio),
      spread(steadyRatio),
    ]),
  };
}

function costTable(throughput: readonly Throughput[]) {
  return {
    caption: "Processor time, microseconds an event:",
    head: ["batches", "mode", "relay", "PostgreSQL", "Kafka"],
    rows: throughput.flatMap(({ batchEventsMax, microsPerEvent }) =>
      modes.map((mode) => [batchEventsMax, mode, ...costOf({ ...microsPerEvent[mode] })]),
    ),
  };
}

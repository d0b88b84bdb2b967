/** One relay, as its users run it, drains one backlog. Its own log says when; /proc says at what cost. */
import { systemClock } from "../../src/foundation/clock.ts";
import { type LogLine, RelayProcess } from "../support/relay-process.ts";
import type { Carrier } from "./latency-run.ts";
import { processorMicros } from "./processor-time.ts";
import type { Backlog, Place, Stage } from "./stage.ts";

export type Delivery = "at-least-once" | "exactly-once" | "at-most-once";

export interface DrainFigures {
  /** From the relay's first word to the last row deleted: with everything that a start costs. */
  readonly eventsPerSecond: number;
  /** Of the middle eight tenths alone. */
  readonly steadyEventsPerSecond: number;
  /** From the relay's first word to the first batch that the broker acknowledged. */
  readonly firstBatchMs: number;
  readonly eventsPerBatch: number;
  readonly microsPerEvent: { readonly relay: number; readonly postgres: number; readonly kafka: number };
}

/** What every measured relay is given; the rest are its defaults. */
export function relayEnvironment(place: Place, delivery: Delivery): Record<string, string> {
  return {
    DATABASE_URL: place.databaseUrl,
    KAFKA_BROKERS: place.brokers,
    OUTRIDER_TOPIC_DEFAULT: place.topic,
    OUTRIDER_DELIVERY: delivery,
    // Copies of a database have its identity: without a prefix of its own a run would find the numbers of the last.
    OUTRIDER_TRANSACTIONAL_ID_PREFIX: place.topic,
    // Two lines a batch, which tell the time of every batch.
    OUTRIDER_LOG_LEVEL: "debug",
  };
}

const drainTimeoutMs = 240_000;

export async function drainWithRelay(
  stage: Stage,
  place: Place,
  { events }: Backlog,
  settings: { readonly delivery: Delivery; readonly batchEventsMax: number },
): Promise<DrainFigures> {
  const relay = new RelayProcess({
    ...relayEnvironment(place, settings.delivery),
    OUTRIDER_BATCH_EVENTS_MAX: String(settings.batchEventsMax),
  });
  const giveUp = new AbortController();
  systemClock
    .sleep(drainTimeoutMs, giveUp.signal)
    .then(() => (giveUp.signal.aborted ? undefined : relay.end("SIGKILL")))
    .catch(() => undefined);
  try {
    await relay.heard("relay-started");
    const before = { ...stage.processorMicros(), relay: processorMicros(relay.pid) };
    let removed = 0;
    await relay.heard("batch-removed", (line) => {
      removed += Number(line.events);
      return removed >= events;
    });
    const after = { ...stage.processorMicros(), relay: processorMicros(relay.pid) };
    const perEvent = (part: "relay" | "postgres" | "kafka") => (after[part] - before[part]) / events;
    return {
      ...paceOf(relay.lines, events),
      microsPerEvent: {
        relay: perEvent("relay"),
        postgres: perEvent("postgres"),
        kafka: perEvent("kafka"),
      },
    };
  } finally {
    giveUp.abort();
    await relay.end("SIGTERM");
  }
}

/** A relay at its defaults that carries events until it is ended. */
export function carryWithRelay(place: Place, delivery: Delivery): Carrier {
  const relay = new RelayProcess({ ...relayEnvironment(place, delivery), OUTRIDER_LOG_LEVEL: "info" });
  return { started: relay.heard("relay-started"), end: () => relay.end("SIGTERM") };
}

type Pace = Omit<DrainFigures, "microsPerEvent">;

const timeOf = (line: LogLine | undefined): number => Date.parse(String(line?.time));

function paceOf(lines: readonly LogLine[], events: number): Pace {
  const startMs = timeOf(lines.find(({ event }) => event === "relay-started"));
  const published = lines.filter((line) => line.event === "batch-published" && Number(line.events) > 0);
  const removals = lines.filter(({ event }) => event === "batch-removed");
  const endMs = timeOf(removals.at(-1));
  let sum = 0;
  const marks = removals.map((line) => {
    sum += Number(line.events);
    return { sum, ms: timeOf(line) };
  });
  const from = marks.find((mark) => mark.sum >= events * 0.1);
  const until = marks.find((mark) => mark.sum >= events * 0.9);
  const steady =
    from === undefined || until === undefined || until.ms <= from.ms
      ? Number.NaN
      : ((until.sum - from.sum) / (until.ms - from.ms)) * 1000;
  return {
    eventsPerSecond: (events / (endMs - startMs)) * 1000,
    steadyEventsPerSecond: steady,
    firstBatchMs: timeOf(published[0]) - startMs,
    eventsPerBatch: events / Math.max(1, published.length),
  };
}

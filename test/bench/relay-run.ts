/** Relays, as their users run them, drain one backlog. Their own logs say when; /proc says at what cost. */
import { systemClock } from "../../src/foundation/clock.ts";
import { type LogLine, RelayProcess } from "../support/relay-process.ts";
import type { Carrier } from "./latency-run.ts";
import { peakMegabytes, processorMicros } from "./processor-time.ts";
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
  /** Resident, of the largest relay at its highest. */
  readonly peakMegabytes: number;
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

/** Beyond all patience: an event takes some 30 µs, and a start some seconds. */
const timeoutMs = (events: number) => 240_000 + events / 10;

export interface DrainSettings {
  readonly delivery: Delivery;
  readonly batchEventsMax: number;
  /** Default 1. */
  readonly relays?: number;
}

export async function drainWithRelay(
  stage: Stage,
  place: Place,
  { events }: Pick<Backlog, "events">,
  { delivery, batchEventsMax, relays: count = 1 }: DrainSettings,
): Promise<DrainFigures> {
  const environment = {
    ...relayEnvironment(place, delivery),
    OUTRIDER_BATCH_EVENTS_MAX: String(batchEventsMax),
  };
  const relays = Array.from({ length: count }, () => new RelayProcess(environment));
  const endAll = (signal: "SIGKILL" | "SIGTERM") => Promise.all(relays.map((relay) => relay.end(signal)));
  const giveUp = new AbortController();
  systemClock
    .sleep(timeoutMs(events), giveUp.signal)
    .then(() => (giveUp.signal.aborted ? undefined : endAll("SIGKILL")))
    .catch(() => undefined);
  const micros = () => ({
    ...stage.processorMicros(),
    relay: relays.reduce((sum, { pid }) => sum + processorMicros(pid), 0),
  });
  try {
    await Promise.race(relays.map((relay) => relay.heard("relay-started")));
    const before = micros();
    await allRemoved(relays, events);
    const after = micros();
    const perEvent = (part: "relay" | "postgres" | "kafka") => (after[part] - before[part]) / events;
    return {
      ...paceOf(
        relays.flatMap(({ lines }) => lines).sort((a, b) => timeOf(a) - timeOf(b)),
        events,
      ),
      peakMegabytes: Math.max(...relays.map(({ pid }) => peakMegabytes(pid))),
      microsPerEvent: {
        relay: perEvent("relay"),
        postgres: perEvent("postgres"),
        kafka: perEvent("kafka"),
      },
    };
  } finally {
    giveUp.abort();
    await endAll("SIGTERM");
  }
}

/** Resolves when they have removed so many between them; rejects when one of them ends before. */
function allRemoved(relays: readonly RelayProcess[], events: number): Promise<unknown> {
  let removed = 0;
  const heard = relays.map((relay) =>
    relay.heard("batch-removed", (line) => {
      removed += Number(line.events);
      return removed >= events;
    }),
  );
  // Only one of them hears the last batch; the others end with their relays.
  for (const one of heard) one.catch(() => undefined);
  return Promise.race(heard);
}

/** A relay at its defaults that carries events until it is ended. */
export function carryWithRelay(place: Place, delivery: Delivery): Carrier {
  const relay = new RelayProcess({ ...relayEnvironment(place, delivery), OUTRIDER_LOG_LEVEL: "info" });
  return {
    started: relay.heard("relay-started"),
    pid: async () => relay.pid,
    end: () => relay.end("SIGTERM"),
  };
}

type Pace = Omit<DrainFigures, "microsPerEvent" | "peakMegabytes">;

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

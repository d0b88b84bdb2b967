/**
 * Debezium's turn: it drains the same events, and carries the same load. Its backlog is what was written
 * while its slot was there and nobody read from it; it reads the log and not the table, so nothing is
 * deleted, which no part of its figures pays for.
 */
import { type Debezium, prepareDatabase, startDebezium, withClient } from "./debezium.ts";
import type { Tuning } from "./debezium-properties.ts";
import type { Carrier } from "./latency-run.ts";
import { processorMicros } from "./processor-time.ts";
import { type Backlog, insertBacklog, type Place, type Stage } from "./stage.ts";
import { type Mark, TopicWatch } from "./topic-watch.ts";

export interface DebeziumFigures {
  /** From its first event in the topic to its last: unlike the others' without what its start costs. */
  readonly eventsPerSecond: number;
  readonly steadyEventsPerSecond: number;
  readonly microsPerEvent: { readonly process: number; readonly postgres: number; readonly kafka: number };
}

/** As small transactions would have written it; one large one would be spilled to disk by PostgreSQL first. */
const eventsPerTransaction = 500;

export async function drainWithDebezium(
  stage: Stage,
  place: Place,
  backlog: Backlog,
): Promise<DebeziumFigures> {
  await prepareDatabase(place);
  await write(place, backlog);
  await stage.ask("checkpoint");
  const watch = await TopicWatch.open(place);
  let debezium: Debezium | undefined;
  try {
    debezium = await startDebezium(place, "throughput");
    const { pid } = debezium;
    const spent = () => ({ ...stage.processorMicros(), process: processorMicros(pid) });
    const marks = await watch.follow(1);
    const before = spent();
    marks.push(...(await watch.follow(backlog.events)));
    const after = spent();
    const counted = backlog.events - (marks[0]?.records ?? 0);
    const perEvent = (part: keyof typeof before) => (after[part] - before[part]) / counted;
    return {
      eventsPerSecond: paceBetween(marks, 0, backlog.events),
      steadyEventsPerSecond: paceBetween(marks, backlog.events * 0.1, backlog.events * 0.9),
      microsPerEvent: {
        process: perEvent("process"),
        postgres: perEvent("postgres"),
        kafka: perEvent("kafka"),
      },
    };
  } finally {
    await watch.close();
    await debezium?.end();
  }
}

async function write({ databaseUrl }: Place, backlog: Backlog): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    for (let first = 1; first <= backlog.events; first += eventsPerTransaction) {
      const last = Math.min(backlog.events, first + eventsPerTransaction - 1);
      await insertBacklog(client, backlog, first, last);
    }
  });
}

function paceBetween(marks: readonly Mark[], from: number, until: number): number {
  const first = marks.find(({ records }) => records >= from);
  const last = marks.find(({ records }) => records >= until);
  if (first === undefined || last === undefined || last.ms <= first.ms) return Number.NaN;
  return ((last.records - first.records) / (last.ms - first.ms)) * 1000;
}

/** Debezium, carrying events until it is ended. */
export function carryWithDebezium(place: Place, tuning: Tuning): Carrier {
  const starting = prepareDatabase(place).then(() => startDebezium(place, tuning));
  return {
    started: starting,
    pid: async () => (await starting).pid,
    carried: async (events) => {
      const watch = await TopicWatch.open(place);
      await watch.follow(events).finally(() => watch.close());
    },
    end: async () => (await starting).end(),
  };
}

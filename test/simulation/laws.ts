/**
 * What must hold, whatever happens. Some laws are watched while the simulation runs, because only the
 * moment shows them; the others are judged at the end, over the logs of the broker and the truth.
 */
import type { ClaimRange } from "../../src/outbox/outbox.ts";
import type { LogRecord, ModelBroker } from "./model-broker.ts";
import type { ModelDatabase, Row } from "./model-database.ts";

export type Law =
  /** Everything committed arrives, within a bound of virtual time after the last fault. */
  | "nothing is missing"
  /** Nothing arrives that was not committed. */
  | "nothing is invented"
  /** First occurrences of an aggregate are in position order. */
  | "first occurrences are in order"
  /** Every replay begins at or before the event that is due next: no gap is ever to be seen. */
  | "replays leave no gap"
  /** A row that is deleted is in a log at that moment. */
  | "a deleted row is in the log"
  /** An event is given up only after the refusals that the policy demands: silence is none. */
  | "only refusals bury an event"
  /** No open transaction can still bring a row below the fence of a claim. */
  | "nothing appears below the fence"
  /** No two relays trust in the same shard at the same time. */
  | "a shard is trusted by one relay"
  /** Without a lost answer, a crash or an outage nothing is doubled; with them, at most what was in flight. */
  | "duplicates are in bounds"
  /** Where nothing disturbs it, a relay that was stopped holds no shard any more. */
  | "a clean stop hands everything back"
  /** A relay ends when it is asked to, and never by itself. */
  | "a relay ends when asked";

export interface Violation {
  readonly law: Law;
  readonly detail: string;
}

const shown = ({ event, at }: Row): string => `${event.eventId} of ${event.aggregateId} at ${at % 1e9} µs`;

export class Watch {
  readonly violations: Violation[] = [];
  readonly #committed = new Map<string, Row>();
  readonly #database: ModelDatabase;
  readonly #attemptsMax: number;
  /** Rows that were discarded by a person or given up by a relay: the rest goes on without them. */
  readonly #dropped = new Set<Row>();
  #broker: ModelBroker | undefined;
  #knownCount = 0;

  constructor(database: ModelDatabase, attemptsMax: number) {
    this.#database = database;
    this.#attemptsMax = attemptsMax;
  }

  observe(broker: ModelBroker): void {
    this.#broker = broker;
  }

  report(law: Law, detail: string): void {
    this.violations.push({ law, detail });
  }

  discarded(row: Row): void {
    this.#dropped.add(row);
  }

  appended = ({ eventId, by }: LogRecord): void => {
    if (!this.#truth().has(eventId)) this.report("nothing is invented", `${by} published ${eventId}`);
  };

  removed = (rows: readonly Row[], by: string): void => {
    for (const row of rows) {
      if (this.#broker?.has(row.event.eventId) === true) continue;
      this.report("a deleted row is in the log", `${by} deleted ${shown(row)}, which no log has`);
    }
  };

  buried = (rows: readonly Row[], by: string): void => {
    for (const row of rows) {
      this.#dropped.add(row);
      const refusals = this.#broker?.refusals.get(row.event.eventId) ?? 0;
      if (row.cameBroken || refusals >= this.#attemptsMax) continue;
      this.report("only refusals bury an event", `${by} gave up ${shown(row)} after ${refusals} refusals`);
    }
  };

  /** Where slots are announced, what of a claim is published is for the relay to say: the logs tell whether it was right. */
  claimed = (ranges: readonly ClaimRange[], by: string): void => {
    if (this.#database.announces) return;
    const fences = new Map(ranges.map(({ shard, fence }) => [shard, fence]));
    for (const row of this.#database.openRows) {
      const fence = fences.get(row.event.shard) ?? Number.NEGATIVE_INFINITY;
      if (row.isLate || row.writer.isPassed || row.at >= fence) continue;
      this.report(
        "nothing appears below the fence",
        `${by} claims below ${fence % 1e9}, ${shown(row)} is open`,
      );
    }
  };

  stopped(name: string): void {
    const kept = [...this.#database.leases.rows].filter(([, { holder }]) => holder === name);
    if (kept.length > 0 || this.#database.leases.members.has(name))
      this.report("a clean stop hands everything back", `${name} still has ${kept.length} shards`);
  }

  /** Judges the logs. Returns how many records were there already. */
  judge(broker: ModelBroker, duplicatesMax: number): number {
    const truth = [...this.#truth().values()].filter((row) => !this.#dropped.has(row));
    for (const row of truth) {
      if (!broker.has(row.event.eventId)) this.report("nothing is missing", `${shown(row)} never arrived`);
    }
    const indexOf = placesOf(truth.filter(({ isLate }) => !isLate));
    const seen = new Set<string>();
    const due = new Map<string, number>();
    let duplicates = 0;
    for (const { eventId, aggregateId, by } of broker.logs.flat()) {
      if (seen.has(eventId)) duplicates += 1;
      const index = indexOf.get(eventId);
      const next = due.get(aggregateId) ?? 0;
      if (index !== undefined && index > next) {
        this.report(
          "replays leave no gap",
          `${by} published ${eventId} (${index}) while ${next} was due in ${aggregateId}`,
        );
      }
      if (index !== undefined && !seen.has(eventId)) {
        if (index < next)
          this.report("first occurrences are in order", `${eventId} of ${aggregateId} came too late`);
        due.set(aggregateId, Math.max(next, index + 1));
      }
      seen.add(eventId);
    }
    if (duplicates > duplicatesMax)
      this.report("duplicates are in bounds", `${duplicates}, at most ${duplicatesMax}`);
    return duplicates;
  }

  #truth(): ReadonlyMap<string, Row> {
    const { committed } = this.#database;
    for (; this.#knownCount < committed.length; this.#knownCount += 1) {
      const row = committed[this.#knownCount];
      if (row !== undefined) this.#committed.set(row.event.eventId, row);
    }
    return this.#committed;
  }
}

/** Where each event stands in its aggregate's order. */
function placesOf(rows: readonly Row[]): Map<string, number> {
  const counts = new Map<string, number>();
  const places = new Map<string, number>();
  for (const { event } of [...rows].sort(
    (a, b) => a.at - b.at || Number(a.event.seq) - Number(b.event.seq),
  )) {
    const count = counts.get(event.aggregateId) ?? 0;
    places.set(event.eventId, count);
    counts.set(event.aggregateId, count + 1);
  }
  return places;
}

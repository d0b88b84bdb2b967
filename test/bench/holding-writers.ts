/**
 * Applications whose transactions go on after the event was written, as real ones do: each inserts one event,
 * stays open for a while, and commits. What they commit is read back in the same transaction.
 */
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { judgeDeliveries, type Truth, type Verdict } from "../support/order.ts";
import { readTopic } from "../support/topics.ts";
import type { Company } from "./latency-run.ts";
import { emptied, type Place } from "./stage.ts";

export interface Holding {
  readonly writers: number;
  readonly aggregates: number;
  /** The mean; each transaction takes between half of it and one and a half, so that commits overtake each other. */
  readonly holdMs: number;
}

const arrivalTimeoutMs = 30_000;

export class HoldingWriters implements Company {
  readonly #place: Place;
  readonly #holding: Holding;
  readonly #truth: Truth[] = [];
  #isOver = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(place: Place, holding: Holding) {
    this.#place = place;
    this.#holding = holding;
  }

  async start(): Promise<void> {
    const { writers } = this.#holding;
    const clients = await Promise.all(Array.from({ length: writers }, () => this.#open()));
    this.#running = Promise.all(clients.map((client) => this.#write(client)));
  }

  /** Waits until all of it has been carried away: the carrier is ended next, and would leave the last ones behind. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    const client = await this.#open();
    await emptied(client);
    await client.end();
  }

  async #open(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#place.databaseUrl });
    await client.connect();
    return client;
  }

  async #write(client: pg.Client): Promise<void> {
    const { aggregates, holdMs } = this.#holding;
    while (!this.#isOver) {
      const aggregateId = `held-${Math.floor(Math.random() * aggregates)}`;
      await client.query("begin");
      const { rows } = await client.query<{ eventId: string; createdAt: string; seq: string }>(
        `insert into undispatched_events (aggregate_id, event_payload) values ($1, '{"n": -1}')
         returning event_id as "eventId", to_json(created_at)#>>'{}' as "createdAt", seq::text`,
        [aggregateId],
      );
      await systemClock.sleep(holdMs * (0.5 + Math.random()));
      await client.query("commit");
      this.#truth.push(...rows.map((row) => ({ ...row, aggregateId })));
    }
    await client.end();
  }

  /** How all that was committed came out in the topic, once it has arrived. */
  async judge(): Promise<Verdict & { readonly events: number }> {
    const own = new Set(this.#truth.map(({ eventId }) => eventId));
    const deadlineMs = performance.now() + arrivalTimeoutMs;
    for (;;) {
      const records = await readTopic(this.#place.brokers, this.#place.topic);
      const delivered = records.flatMap(({ key, headers }) => {
        const eventId = headers.event_id ?? "";
        return own.has(eventId) ? [{ eventId, aggregateId: key ?? "" }] : [];
      });
      const verdict = judgeDeliveries(this.#truth, delivered);
      if (verdict.missing === 0 || performance.now() > deadlineMs)
        return { ...verdict, events: this.#truth.length };
      await systemClock.sleep(500);
    }
  }
}

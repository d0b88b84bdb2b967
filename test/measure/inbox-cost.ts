/** What the inbox adds to the cost of an event: the same consumer with and without, one event or many at a time. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Random } from "../../src/cli/demo/seeded-random.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { fromPg, inbox } from "../../src/index.ts";
import { preparedDatabase } from "../support/prepared-database.ts";
import {
  accountsCount,
  type Booking,
  bookingTables,
  consumerName,
  effectStatement,
} from "./inbox-bookings.ts";

type Handling = (client: pg.Client, bookings: readonly Booking[]) => Promise<unknown>;

const book = (client: pg.Client, { eventId, account, amount }: Booking) =>
  client.query(effectStatement, [eventId, account, amount]);

const bookAll = (client: pg.Client, bookings: readonly Booking[]) =>
  client.query(
    `with given as (select * from unnest($1::uuid[], $2::int[], $3::int[]) as given(event_id, account, amount)),
          entry as (insert into ledger select * from given)
     update accounts set balance = balance + sum from (select account, sum(amount) from given group by account) as sums
      where id = sums.account`,
    [
      bookings.map(({ eventId }) => eventId),
      bookings.map(({ account }) => account),
      bookings.map(({ amount }) => amount),
    ],
  );

/** One transaction an event, as the consumer above; and one for all of them, as a batch consumer would. */
const handlings: Readonly<Record<string, Handling>> = {
  without: async (client, bookings) => {
    for (const booking of bookings) {
      await client.query("begin");
      await book(client, booking);
      await client.query("commit");
    }
  },
  with: async (client, bookings) => {
    for (const booking of bookings) {
      await client.query("begin");
      await inbox.once(fromPg(client), consumerName, booking.eventId, () => book(client, booking));
      await client.query("commit");
    }
  },
  batchWithout: async (client, bookings) => {
    await client.query("begin");
    await bookAll(client, bookings);
    await client.query("commit");
  },
  batchOnce: async (client, bookings) => {
    await client.query("begin");
    const fresh: Booking[] = [];
    for (const booking of bookings) {
      await inbox.once(fromPg(client), consumerName, booking.eventId, async () => fresh.push(booking));
    }
    await bookAll(client, fresh);
    await client.query("commit");
  },
  batchWith: async (client, bookings) => {
    await client.query("begin");
    await inbox.onceBatch(
      fromPg(client),
      consumerName,
      bookings,
      ({ eventId }) => eventId,
      (fresh) => bookAll(client, fresh),
    );
    await client.query("commit");
  },
};

/** Turn by turn on one connection, so that whatever else the machine does falls on all alike. */
export async function measureInboxCost(serverUrl: string, random: Random): Promise<object> {
  const [rounds, eventsPerRound] = [100, 200];
  const database = await preparedDatabase(serverUrl, bookingTables);
  const client = new pg.Client(database.url);
  try {
    await client.connect();
    const spentMs = new Map<string, number>();
    for (let round = -5; round < rounds; round++) {
      for (const [name, handle] of Object.entries(handlings)) {
        const bookings = Array.from({ length: eventsPerRound }, () => ({
          eventId: randomUUID(),
          account: random.below(accountsCount),
          amount: 1,
        }));
        const startedMs = systemClock.monotonicMs();
        await handle(client, bookings);
        // The first rounds warm up.
        if (round >= 0) spentMs.set(name, (spentMs.get(name) ?? 0) + systemClock.monotonicMs() - startedMs);
      }
    }
    const micros = (name: string) =>
      Math.round(((spentMs.get(name) ?? 0) * 10_000) / (rounds * eventsPerRound)) / 10;
    return {
      eventsEach: rounds * eventsPerRound,
      microsPerEventWith: micros("with"),
      microsPerEventWithout: micros("without"),
      ratio: Number((micros("with") / micros("without")).toFixed(2)),
      batchEvents: eventsPerRound,
      batchMicrosPerEventWith: micros("batchWith"),
      batchMicrosPerEventWithout: micros("batchWithout"),
      batchMicrosPerEventOnceEach: micros("batchOnce"),
    };
  } finally {
    await client.end();
    await database.drop();
  }
}

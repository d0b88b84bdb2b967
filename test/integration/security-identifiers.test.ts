/** A schema whose name would end a statement, if anybody forgot to quote it: every command works in it. */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { enqueue, fromPg } from "../../src/index.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { runOutrider } from "../support/outrider-command.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

const schema = `we"ird; drop table undispatched_events; --`;
const table = `${pg.escapeIdentifier(schema)}.undispatched_events`;

let database: FreshDatabase;
let client: pg.Client;
let environment: Readonly<Record<string, string>>;

beforeEach(async () => {
  database = await freshDatabase();
  client = new pg.Client(database.url);
  await client.connect();
  // The table that the name would drop, and with a row that a statement without its schema would find.
  await client.query("create table public.undispatched_events as select 'untouched' as note");
  environment = {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: inject("kafkaBrokers"),
    OUTRIDER_SCHEMA: schema,
    OUTRIDER_REJECTED: "dead-letter",
    OUTRIDER_ATTEMPTS_MAX: "1",
    OUTRIDER_LEASE_TTL_MS: "1000",
    OUTRIDER_LEASE_RENEW_MS: "200",
  };
  expect(await runOutrider(["migrate"], environment)).toMatchObject({ code: 0, stderr: "" });
});
afterEach(async () => {
  await RelayProcess.endAll();
  const { rows } = await client.query("select note from public.undispatched_events");
  expect(rows).toEqual([{ note: "untouched" }]);
  await client.end();
  await database.drop();
});

async function write(topic: string, events: number): Promise<readonly string[]> {
  await client.query("begin");
  const list = Array.from({ length: events }, (_, n) => ({
    aggregateId: `'; drop schema "x" --${n % 3}`,
    topic,
    payload: { n },
  }));
  const ids = await enqueue(fromPg(client), list, { schema });
  await client.query("commit");
  return ids;
}

async function drained(): Promise<void> {
  while ((await client.query(`select 1 from ${table} limit 1`)).rows.length > 0);
}

const json = async <T>(...args: readonly string[]): Promise<T> => {
  const { code, stdout, stderr } = await runOutrider([...args, "--json"], environment);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
};

describe(`in the schema ${schema}`, () => {
  it.each(["at-least-once", "at-most-once", "exactly-once"])(
    "%s: enqueue, status, relay",
    async (delivery) => {
      const topic = uniqueTopic("weird");
      await createTopics(inject("kafkaBrokers"), [{ topic, partitions: 2 }]);
      const ids = await write(topic, 12);
      expect(await json("status")).toMatchObject({ backlog: { events: 12 }, faults: [] });
      const relay = new RelayProcess({ ...environment, OUTRIDER_DELIVERY: delivery });
      await drained();
      expect(await relay.end()).toEqual({ code: 0, signal: null });
      const records = await readTopic(inject("kafkaBrokers"), topic, { isolation: "committed" });
      expect(records.map(({ headers }) => headers.event_id).sort()).toEqual([...ids].sort());
    },
  );

  it("blocked and dead-letters: list, show, redrive, discard", async () => {
    const [topic, missing] = [uniqueTopic("weird"), uniqueTopic("weird-missing")];
    await createTopics(inject("kafkaBrokers"), [{ topic }]);
    const ids = await write(missing, 3);
    const relay = new RelayProcess(environment);
    await relay.heardTimes("event-dead-lettered", 3);
    await relay.end();
    expect(await json("blocked")).toMatchObject({ aggregates: [] });
    const { letters } = await json<{ letters: readonly { eventId: string }[] }>("dead-letters", "list");
    expect(letters.map(({ eventId }) => eventId).sort()).toEqual([...ids].sort());
    expect((await runOutrider(["dead-letters", "show", "--id", `${ids[0]}`], environment)).code).toBe(0);
    expect(await json("dead-letters", "redrive", "--id", `${ids[0]}`)).toMatchObject({ moved: 1 });
    expect(await json("dead-letters", "discard", "--all", "--yes")).toMatchObject({ moved: 2 });
    expect(await json("status")).toMatchObject({ backlog: { events: 1 } });
    expect(await runOutrider(["migrate", "--down", "--force"], environment)).toMatchObject({ code: 0 });
  });
});

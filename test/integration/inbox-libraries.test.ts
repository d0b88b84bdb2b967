/** `inbox.once` through each library: the same marks and effects, with the transaction's fate. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AnsweringTransaction, inbox } from "../../src/index.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { type Library, libraries } from "./enqueue-libraries.ts";

const each = Object.entries(libraries);
/** Hostile to everything that takes a part of it for a placeholder or an end of a quotation. */
const oddSchema = 'a$1 ?"b\\: c?? $$';

describe("the inbox", () => {
  let database: FreshDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await freshDatabase();
    client = new pg.Client(database.url);
    await client.connect();
    await migrate(client, { schema: "public", only: "inbox" });
    await migrate(client, { schema: oddSchema, only: "inbox" });
    await client.query("create table effects (text text)");
  });
  beforeEach(() => client.query("truncate effects, processed_events"));
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  const effects = async () =>
    (await client.query<{ text: string }>("select text from effects order by text")).rows.map(
      ({ text }) => text,
    );
  const marks = async (table = "processed_events") =>
    (
      await client.query<{ consumer: string; event_id: string }>(
        `select consumer, event_id from ${table} order by consumer, event_id`,
      )
    ).rows.map(({ consumer, event_id: id }) => [consumer, id]);
  const write = (transaction: AnsweringTransaction, text: string) =>
    transaction.execute("insert into effects values ($1::text)", [text]);

  it.each(each)("runs the work of an event once for each consumer, through %s", async (_, library) => {
    const id = randomUUID();
    // A name that some library could take for placeholders, quotes or escapes.
    const consumer = "billing ' ? $1 \\ :name 😀";
    const deliver = async (given: string, name: string) => {
      let outcome: unknown;
      await library(database.url, async (transaction) => {
        outcome = await inbox.once(transaction, name, given, async () => {
          await write(transaction, `${name} ran`);
          return 42;
        });
      });
      return outcome;
    };
    expect(await deliver(id.toUpperCase(), consumer)).toEqual({ isFirst: true, result: 42 });
    expect(await deliver(id, consumer)).toEqual({ isFirst: false });
    expect(await deliver(id, "shipping")).toEqual({ isFirst: true, result: 42 });
    expect(await effects()).toEqual([`${consumer} ran`, "shipping ran"]);
    expect(await marks()).toEqual([
      [consumer, id],
      ["shipping", id],
    ]);
  });

  it.each(each)("runs a batch with what is new in it, through %s", async (_, library) => {
    const ids = Array.from({ length: 6 }, () => randomUUID());
    const deliver = async (events: readonly (string | undefined)[]) => {
      const ran: unknown[] = [];
      let outcome: unknown;
      await library(database.url, async (transaction) => {
        outcome = await inbox.onceBatch(
          transaction,
          "billing",
          events.map((id, place) => ({ id, place })),
          ({ id }) => id,
          async (fresh) => {
            ran.push(...fresh.map(({ place }) => place));
            await write(transaction, fresh.length.toString());
            return "done";
          },
        );
      });
      return [outcome, ran];
    };
    const [a, b, c, d, e, f] = ids;
    expect(await deliver([c, a, a?.toUpperCase(), b])).toEqual([
      { hasRun: true, freshCount: 3, result: "done" },
      [0, 1, 3],
    ]);
    expect(await deliver([f, a, d, c, e])).toEqual([
      { hasRun: true, freshCount: 3, result: "done" },
      [0, 2, 4],
    ]);
    expect(await deliver(ids)).toEqual([{ hasRun: false, freshCount: 0 }, []]);
    expect(await deliver([])).toEqual([{ hasRun: false, freshCount: 0 }, []]);
    expect((await marks()).length).toBe(6);
  });

  const failing = (library: Library, id: string, isCaught: boolean) =>
    library(database.url, async (transaction) => {
      const handled = inbox.once(transaction, "billing", id, async () => {
        await write(transaction, "half");
        throw new Error("the business says no");
      });
      if (isCaught) await handled.catch(() => undefined);
      else await handled;
    });

  it.each(each)("leaves nothing behind when the work throws, through %s", async (_, library) => {
    const id = randomUUID();
    await expect(failing(library, id, false)).rejects.toThrow("the business says no");
    expect([await marks(), await effects()]).toEqual([[], []]);
  });

  it.each(each)("leaves nothing behind when that is caught and committed, through %s", async (_, library) => {
    const id = randomUUID();
    // Some libraries notice that their commit became a rollback; none may make it a commit.
    await failing(library, id, true).catch(() => undefined);
    expect([await marks(), await effects()]).toEqual([[], []]);
    // And the next delivery finds nothing in its way.
    await library(database.url, async (transaction) => {
      const again = await inbox.once(transaction, "billing", id, () => write(transaction, "whole"));
      expect(again.isFirst).toBe(true);
    });
    expect(await effects()).toEqual(["whole"]);
  });

  it.each(each)("works in any schema and prunes there, through %s", async (_, library) => {
    const quoted = pg.escapeIdentifier(oddSchema);
    await client.query(`truncate ${quoted}.processed_events`);
    const [old, young] = [randomUUID(), randomUUID()];
    await library(database.url, async (transaction) => {
      await inbox.once(transaction, "billing", old, async () => undefined, { schema: oddSchema });
      await inbox.onceBatch(
        transaction,
        "billing",
        [young],
        (id) => id,
        async () => undefined,
        {
          schema: oddSchema,
        },
      );
    });
    await client.query(
      `update ${quoted}.processed_events set processed_at = processed_at - interval '61 minutes' where event_id = $1`,
      [old],
    );
    let removed: number | undefined;
    await library(database.url, async (transaction) => {
      removed = await inbox.prune(transaction, { retentionMs: 3_600_000, schema: oddSchema });
    });
    expect(removed).toBe(1);
    expect(await marks(`${quoted}.processed_events`)).toEqual([["billing", young]]);
    expect(await marks()).toEqual([]);
  });
});

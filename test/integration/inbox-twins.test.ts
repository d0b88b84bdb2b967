/** Once means once, wherever the consumer dies; and the check that says so catches those who do it wrong. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../../src/outbox/migrator.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { brokenConsumers, countEffects, rightConsumer } from "../support/inbox-consumers.ts";

describe("a consumer that is killed after each of its steps", () => {
  let database: FreshDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await freshDatabase();
    client = new pg.Client(database.url);
    await client.connect();
    await migrate(client, { schema: "public", only: "inbox" });
    await client.query("create table effects (event_id uuid)");
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  it("has every effect exactly once with the inbox", async () => {
    expect(await countEffects(rightConsumer, database.url, client)).toEqual([
      "marked: 1",
      "effect written: 1",
      "before the commit: 1",
      "committed: 1",
    ]);
  });

  it.each([
    ["works outside of the transaction", ["effect written: 2", "committed: 1"]],
    ["marks after the commit", ["effect committed: 2", "marked: 1"]],
    ["marks in a transaction of its own, before", ["marked: 0", "effect committed: 1"]],
    ["acknowledges before the commit", ["acknowledged: 0", "committed: 1"]],
    ["has no inbox", ["effect committed: 2"]],
  ])("has not when it %s", async (name, counts) => {
    const broken = brokenConsumers[name];
    if (broken === undefined) throw new Error(`there is no twin "${name}"`);
    expect(await countEffects(broken, database.url, client)).toEqual(counts);
  });
});

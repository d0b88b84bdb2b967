/** One aggregate with very many rows behind a rejected event, on a real PostgreSQL: it starves nobody. */
import pg from "pg";
import { describe, expect, it } from "vitest";
import { microsOfIso } from "../../src/event/position.ts";
import type { ShardCursor } from "../../src/event/shard.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { below, fromBeginning, roomy } from "../contract/outbox.contract.ts";
import { measureOthers } from "../support/blocked-load.ts";
import { migratedDatabase } from "../support/migrated-database.ts";

describe("an aggregate that is blocked with very many rows", () => {
  it("is passed over by claims in bounded pieces, and nothing behind it is missed", async () => {
    const database = await migratedDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(
      "insert into undispatched_events (aggregate_id, event_payload) select 'blocked', '{}' from generate_series(1, 25000)",
    );
    // Of the same shard, so that the whole blocked run stands before it.
    const { rows } = await client.query<{ id: string }>(
      "select 'other-' || n as id from generate_series(1, 10000) n where (hashtext('other-' || n) & 63) = (hashtext('blocked') & 63) limit 1",
    );
    const other = rows[0]?.id ?? "";
    await client.query("insert into undispatched_events (aggregate_id, event_payload) values ($1, '{}')", [
      other,
    ]);
    const outbox = new PostgresOutbox(database.config, []);
    const { clock } = await outbox.look();
    const claim = (cursors: readonly ShardCursor[]) =>
      outbox.claim({ ranges: below(clock, cursors), limits: roomy, blocked: ["blocked"] });
    const seen: string[] = [];
    let cursors = fromBeginning;
    let claims = 0;
    for (;;) {
      const { events, passed = [] } = await claim(cursors);
      claims += 1;
      seen.push(...events.map(({ aggregateId }) => aggregateId));
      if (passed.length === 0) break;
      expect(microsOfIso(passed[0]?.createdAt ?? "")).toBeLessThan(clock);
      cursors = passed;
    }
    expect(seen).toEqual([other]);
    expect(claims).toBe(3);
    await outbox.close();
    await client.end();
    await database.drop();
  });

  it("holds nobody else up: neither while it is passed over, nor at a sweep", {
    timeout: 240_000,
  }, async () => {
    const load = { blockedRows: 300_000, events: 500, pauseMs: 4, eventsPerSweep: 100 };
    const latencies = await measureOthers(load);
    console.log(JSON.stringify({ ...load, ...latencies }));
    // A claim that reads over all of it takes 300 to 600 ms here; a bounded one a tenth of that.
    expect(latencies.pollMaxMs).toBeLessThan(250);
    expect(latencies.p50Ms).toBeLessThan(100);
  });
});

/**
 * A claim looks at a bounded number of rows while something is blocked. Wherever that bound falls, what
 * lies behind it is claimed next: a shard that was not read to its end must never count as if it were,
 * or newer events of the same aggregates would overtake what was passed over.
 */
import pg from "pg";
import { describe, expect, it } from "vitest";
import { microsOfIso } from "../../src/event/position.ts";
import { fenceAt } from "../../src/outbox/fence.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { Cursors } from "../../src/relay/cursors.ts";
import { migratedDatabase } from "../support/migrated-database.ts";

const lookedAtMax = 10_000;
const limits = { eventsMax: 100, eventsPerShardMax: 100, bytesMax: 1_000_000, payloadBytesMax: 1_000_000 };

describe("a claim around a blocked aggregate", () => {
  for (const stuckCount of [lookedAtMax - 2, lookedAtMax - 1, lookedAtMax, lookedAtMax + 1]) {
    it(`leaves nothing behind with ${stuckCount} blocked rows in front`, async () => {
      const database = await migratedDatabase();
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      const outbox = new PostgresOutbox(database.config, []);
      try {
        await outbox.inspect();
        const insert =
          "insert into undispatched_events (aggregate_id, event_payload) select $1, '{}' from generate_series(1, $2::int)";
        await client.query(insert, ["stuck", stuckCount]);
        const { rows } = await client.query<{ shard: number }>(
          "select shard from undispatched_events limit 1",
        );
        const free = await aggregateIn(client, rows[0]?.shard ?? -1);
        await client.query(insert, [free, 4]);
        const cursors = new Cursors();
        cursors.own(new Set([rows[0]?.shard ?? -1]));
        const claimed: string[] = [];
        for (let claims = 0; claims < 3; claims += 1) {
          const fence = fenceAt((await outbox.look()).clock);
          const plan = cursors.plan(limits.eventsMax, fence);
          const claim = await outbox.claim({ ...plan, limits, blocked: ["stuck"] });
          cursors.advance(plan, claim, fence);
          claimed.push(...claim.events.map(({ createdAt, seq }) => `${microsOfIso(createdAt)} ${seq}`));
        }
        expect(claimed).toHaveLength(4);
        expect(new Set(claimed).size).toBe(4);
      } finally {
        await outbox.close();
        await client.end();
        await database.drop();
      }
    });
  }
});

/** The name of an aggregate that falls into this shard. */
async function aggregateIn(client: pg.Client, shard: number): Promise<string> {
  await client.query("begin");
  const { rows } = await client.query<{ aggregate_id: string; shard: number }>(
    `insert into undispatched_events (aggregate_id, event_payload)
     select 'free-' || n, '{}' from generate_series(1, 1000) as n returning aggregate_id, shard`,
  );
  await client.query("rollback");
  const found = rows.find((row) => row.shard === shard);
  if (found === undefined) throw new Error(`none of 1,000 names falls into shard ${shard}`);
  return found.aggregate_id;
}

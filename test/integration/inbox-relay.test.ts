/** The relay's chore on a real inbox: it prunes, says what it cannot do once, and relays all the same. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";

describe("a relay beside an inbox", () => {
  let database: MigratedDatabase;
  let client: pg.Client;
  const role = `relay_${randomUUID().replaceAll("-", "")}`;

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client(database.url);
    await client.connect();
  });
  afterEach(async () => {
    await RelayProcess.endAll();
    await client.query(
      `do $$ begin if exists (select from pg_roles where rolname = '${role}') then drop owned by ${role}; drop role ${role}; end if; end $$`,
    );
    await client.end();
    await database.drop();
  });

  const relay = (more: Record<string, string> = {}) =>
    new RelayProcess({
      DATABASE_URL: database.url,
      KAFKA_BROKERS: inject("kafkaBrokers"),
      OUTRIDER_INBOX_PRUNE_CRON: "* * * * * *",
      OUTRIDER_INBOX_PRUNE_ROWS_MAX: "100",
      ...more,
    });
  const retention = { OUTRIDER_INBOX_RETENTION_MS: String(24 * 3_600_000) };
  const fill = (count: number, hours: number) =>
    client.query(
      `insert into processed_events (consumer, event_id, processed_at)
       select 'billing', gen_random_uuid(), clock_timestamp() - $2::int * interval '1 hour' from generate_series(1, $1::int)`,
      [count, hours],
    );
  const marksCount = async () =>
    Number((await client.query("select count(*) from processed_events")).rows[0].count);

  it("prunes what is older than the retention, and says how much", async () => {
    await fill(250, 25);
    await fill(7, 23);
    const running = relay(retention);
    expect(await running.heard("inbox-pruned")).toMatchObject({ rows: 250, level: "info" });
    expect(await marksCount()).toBe(7);
    expect((await running.end()).code).toBe(0);
  });

  it("touches nothing unless it is told a retention", async () => {
    await fill(10, 24 * 365);
    const running = relay({ OUTRIDER_STATISTICS_CRON: "* * * * * *" });
    // By the third second the other chore would have had its turn.
    const counted = () => running.lines.filter(({ event }) => event === "backlog-counted");
    await running.heard("backlog-counted", () => counted().length === 3);
    await running.end();
    expect(await marksCount()).toBe(10);
    expect(running.lines.filter(({ event }) => event?.startsWith("inbox"))).toEqual([]);
  });

  it("says once that there is none, and prunes when there is one at last", async () => {
    await client.query("alter table processed_events rename to elsewhere");
    const running = relay(retention);
    expect(await running.heard("inbox-unprunable")).toMatchObject({ obstacle: "missing", level: "warn" });
    await client.query("alter table elsewhere rename to processed_events");
    await fill(3, 25);
    await running.heard("inbox-pruned");
    expect(running.lines.filter(({ event }) => event === "inbox-unprunable").length).toBe(1);
  });

  it("says once that it may not", async () => {
    await client.query(
      `create role ${role} login password 'relay';
       grant select, delete on undispatched_events to ${role};
       grant select, update on outrider_shard_leases, outrider_dead_letters to ${role};
       grant select, insert, update, delete on outrider_members, outrider_blocked_aggregates to ${role};
       grant insert on outrider_dead_letters to ${role}`,
    );
    await fill(3, 25);
    const url = new URL(database.url);
    url.username = role;
    url.password = "relay";
    const running = relay({ ...retention, DATABASE_URL: url.href });
    const said = await running.heard("inbox-unprunable");
    expect(said).toMatchObject({ obstacle: "forbidden" });
    expect(said.msg).toContain("grant select, delete");
    await client.query(`grant select, delete on processed_events to ${role}`);
    expect(await running.heard("inbox-pruned")).toMatchObject({ rows: 3 });
    expect(running.lines.filter(({ event }) => event === "inbox-unprunable").length).toBe(1);
  });

  it("is refused a retention that can only be a mistake", async () => {
    const running = relay({ OUTRIDER_INBOX_RETENTION_MS: "14" });
    expect((await running.exited).code).toBe(78);
    expect(running.stderr).toContain("OUTRIDER_INBOX_RETENTION_MS is neither 0 nor at least 3600000 ms");
  });
});

/** PostgreSQL behind a network that goes silent, cuts, and loses answers: nothing hangs, nothing doubles. */
import pg from "pg";
import { describe, expect, it } from "vitest";
import { type MigratedDatabase, migratedDatabase, openOutbox } from "../support/migrated-database.ts";
import { startProxy, type TcpProxy } from "../support/proxy.ts";
import { RecordingPublisher } from "../support/recording-publisher.ts";
import { makeRelay, type RunningRelay } from "../support/running-relay.ts";

interface Stage extends RunningRelay {
  readonly database: MigratedDatabase;
  readonly proxy: TcpProxy;
  readonly publisher: RecordingPublisher;
  /** A client that does not go through the proxy. */
  readonly client: pg.Client;
}

async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const database = await migratedDatabase();
  const server = new URL(database.url);
  const proxy = await startProxy({ protocol: "postgres", target: server.host });
  const throughProxy = new URL(database.url);
  throughProxy.host = proxy.address;
  const config = {
    ...database.config,
    url: throughProxy.href,
    connectTimeoutMs: 500,
    statementTimeoutMs: 300,
  };
  const outbox = openOutbox({ config });
  const publisher = new RecordingPublisher();
  const running = makeRelay(outbox, publisher);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await running.relay.start();
    await work({ ...running, database, proxy, publisher, client });
  } finally {
    await proxy.heal();
    await running.relay.stop();
    await proxy.close();
    await client.end();
    await database.drop();
  }
}

const insert =
  "insert into undispatched_events (aggregate_id, event_payload) select 'a-' || n % 5, '{}' from generate_series(1, 20) n";

async function emptied({ client }: Stage): Promise<void> {
  for (;;) {
    const { rows } = await client.query("select 1 from undispatched_events limit 1");
    if (rows.length === 0) return;
  }
}

describe("a wait for new events", () => {
  it("ends before it would be taken for a statement that hangs, and is not begun where it could not", async () => {
    const database = await migratedDatabase();
    const outbox = openOutbox({ config: { ...database.config, statementTimeoutMs: 100 } });
    await outbox.inspect();
    const mark = await outbox.peek();
    expect(mark).not.toBeNull();
    for (let turn = 0; turn < 5; turn += 1)
      expect(await outbox.awaitChange(mark ?? "", 5, 10_000)).toBe(mark);
    expect(await outbox.awaitChange(mark ?? "", 60, 10_000)).toBeNull();
    await outbox.close();
    await database.drop();
  });
});

describe("relay and a troubled network to PostgreSQL", () => {
  it("gives a silent connection up, and never uses it again", () =>
    onStage(async (stage) => {
      const { proxy, ear, client, publisher } = stage;
      const lost = ear.next("outbox-lost");
      proxy.blackHole("both");
      await client.query(insert);
      expect((await lost).message).toMatch(/timeout|not available/i);
      const back = ear.next("outbox-back");
      await proxy.heal();
      await back;
      await emptied(stage);
      expect(publisher.published).toHaveLength(20);
    }));

  it("comes back after every connection was cut", () =>
    onStage(async (stage) => {
      const { proxy, client, publisher } = stage;
      for (let turn = 0; turn < 3; turn += 1) {
        proxy.cut();
        await client.query(insert);
        await emptied(stage);
      }
      expect(publisher.published).toHaveLength(60);
    }));

  it("doubles nothing when the answer to a removal is lost", () =>
    onStage(async (stage) => {
      const { proxy, client, publisher, ear } = stage;
      const swallowed = proxy.swallowNextBackend(({ tag }) => tag.startsWith("DELETE"));
      const removed = ear.next("batch-removed");
      await client.query(insert);
      await swallowed.happened;
      proxy.cut();
      // A look in the middle of the insert takes its first rows for a batch of their own.
      const { events, gone } = await removed;
      expect(events).toBe(0);
      expect(gone).toBeGreaterThan(0);
      await emptied(stage);
      expect(publisher.published).toHaveLength(20);
    }));

  it("holds no transaction open while it waits for the broker", () =>
    onStage(async (stage) => {
      const { client, publisher } = stage;
      let release: () => void = () => undefined;
      const stuck = new Promise<void>((resolve) => {
        release = resolve;
      });
      const publish = publisher.publish.bind(publisher);
      const handed = new Promise<void>((resolve) => {
        publisher.publish = async (messages) => {
          resolve();
          await stuck;
          return publish(messages);
        };
      });
      await client.query(insert);
      await handed;
      const { rows } = await client.query(
        "select state from pg_stat_activity where application_name like 'outrider relay%' and datname = current_database() and xact_start is not null and state <> 'active'",
      );
      expect(rows).toEqual([]);
      release();
      await emptied(stage);
    }));
});

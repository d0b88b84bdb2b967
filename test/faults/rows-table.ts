/** Rows in which the application does what applications do: odd rows, slow transactions, wrong clocks. */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import { connected } from "./load.ts";
import type { Row } from "./row.ts";
import { administer } from "./rows-brokers.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

interface OddRow {
  readonly aggregateId: string | null;
  readonly payload: string;
  readonly headers?: string;
  /** An SQL expression; the column's default when left out. */
  readonly createdAt?: string;
}

/** Writes the row and its audit in whatever transaction the client has open. */
export async function write(client: pg.Client, scene: Scene, row: OddRow): Promise<string> {
  const id = randomUUID();
  const { aggregateId, payload, headers = null, createdAt = "clock_timestamp()" } = row;
  await client.query(
    `with written as (
       insert into undispatched_events (event_id, aggregate_id, event_payload, topic, headers, created_at)
       values ($1, $2, $3, $4, $5, ${createdAt}) returning event_id, aggregate_id, created_at, seq, event_payload)
     insert into fault_audit select event_id, aggregate_id, created_at, seq, md5(event_payload::text) from written`,
    [id, aggregateId, payload, scene.topic, headers],
  );
  return id;
}

async function openWriter(scene: Scene): Promise<pg.Client> {
  const client = await connected(scene.url, "odd writer");
  scene.defer(() => client.end().catch(() => undefined));
  return client;
}

/** The 99th percentile of the polls that a relay has logged from one line to another. */
function pollMs(scene: Scene, from: number): { readonly p99: number; readonly next: number } {
  const lines = scene.crew.alive[0]?.process.lines ?? [];
  const times = lines
    .slice(from)
    .filter(({ event, events }) => event === "polled" && Number(events) > 0)
    .map(({ durationMs }) => Number(durationMs))
    .sort((a, b) => a - b);
  return { p99: times[Math.floor(times.length * 0.99)] ?? 0, next: lines.length };
}

export const tableRows: readonly Row[] = [
  {
    id: "F25",
    title: "a REPEATABLE READ snapshot stays open for 12 s under load",
    bound: "polls at the end take ≤ 5 × those before (p99, and no less than 50 ms); backlog flat",
    play: { relays: 1, load: { pauseMsMax: 15 } },
    run: async (scene) => {
      await scene.begin();
      const warm = pollMs(scene, 0).next;
      await scene.last(3_000);
      const before = pollMs(scene, warm);
      const report = await openWriter(scene);
      await report.query("begin isolation level repeatable read");
      await report.query("select count(*) from undispatched_events");
      await scene.last(9_000);
      const middle = pollMs(scene, before.next);
      await scene.last(3_000);
      const after = pollMs(scene, middle.next);
      const backlog = await scene.backlog();
      await report.query("rollback");
      scene.notes.push(
        `p99 of a poll ${before.p99.toFixed(1)} ms before, ${after.p99.toFixed(1)} ms after 12 s; backlog ${backlog}`,
      );
      if (after.p99 > Math.max(50, 5 * before.p99))
        scene.violations.push("polls slow down behind the open snapshot");
      if (backlog > 1_000) scene.violations.push(`the backlog has grown to ${backlog}`);
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "F26",
    title: "a transaction that has written stays open for 3 s, and commits events older than those of others",
    bound: "order exact, no late event, no duplicate",
    run: async (scene) => {
      await scene.begin();
      const slow = await openWriter(scene);
      for (let turn = 0; turn < 2; turn += 1) {
        await slow.query("begin");
        for (let n = 0; n < 20; n += 1)
          await write(slow, scene, { aggregateId: `aggregate-${n}`, payload: "{}" });
        scene.fault("a writer stays open");
        await scene.last(3_000);
        await slow.query("commit");
      }
      const recoveryMs = await scene.flowing(scene.fault("it has committed"));
      await scene.calm(1_000);
      if (scene.crew.said("late-events") > 0) scene.violations.push("I3: events were published late");
      return { duplicatesMax: 0, recoveryMs };
    },
  },
  {
    id: "F27",
    title: "two events of an aggregate in one transaction with one created_at, and a kill -9",
    bound: "ordered by seq, replays too; duplicates ≤ two batches",
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      const client = await openWriter(scene);
      for (let turn = 0; turn < 60; turn += 1) {
        await client.query("begin");
        await write(client, scene, { aggregateId: `tied-${turn % 5}`, payload: "{}" });
        const { rows } = await client.query<{ at: string }>("select quote_literal(clock_timestamp()) as at");
        const tied = {
          aggregateId: `tied-${turn % 5}`,
          payload: "{}",
          createdAt: `${rows[0]?.at}::timestamptz`,
        };
        await write(client, scene, tied);
        await write(client, scene, tied);
        await client.query("commit");
        const [relay] = scene.crew.alive;
        if (turn !== 30 || relay === undefined) continue;
        await scene.crew.kill(relay);
        await scene.crew.hire();
      }
      return { duplicatesMax: 400 };
    },
  },
  {
    id: "F29",
    title: "one event is larger than max.message.bytes; after 4 s the topic allows it",
    bound: "its aggregate waits and says so, all others flow, no duplicate",
    play: { topicSettings: { "max.message.bytes": "20000" } },
    run: async (scene) => {
      await scene.begin();
      const client = await openWriter(scene);
      const id = await write(client, scene, {
        aggregateId: "large",
        payload: JSON.stringify("x".repeat(60_000)),
      });
      for (let n = 0; n < 3; n += 1) await write(client, scene, { aggregateId: "large", payload: "{}" });
      const atMs = scene.fault("an event of 60 kB");
      await until(
        "the aggregate blocks",
        15_000,
        () => scene.crew.said("aggregate-blocked") > 0 || undefined,
      );
      await scene.flowing(atMs + 1_000);
      await scene.last(2_000);
      const { rowCount } = await client.query("select from undispatched_events where aggregate_id = 'large'");
      if (rowCount !== 4)
        scene.violations.push(`${rowCount} of 4 events of the blocked aggregate are still there`);
      scene.history.note("checker", "waits", { eventId: id });
      await administer(scene, (admin) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [
            { type: 2, name: scene.topic, configEntries: [{ name: "max.message.bytes", value: "200000" }] },
          ],
        }),
      );
      scene.fault("200 kB allowed");
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "F30",
    title: "rows that are odd or broken: NUL, nulls, 500 kB, headers that are none, no aggregate",
    bound: "odd ones published byte for byte; broken ones block their aggregate until repaired; no crash",
    run: async (scene) => {
      await scene.begin();
      const client = await openWriter(scene);
      const odd = [
        '"\\u0000"',
        "null",
        '""',
        '{ "a" :  1e400 }',
        JSON.stringify("ü€𝄞".repeat(9)),
        JSON.stringify("y".repeat(500_000)),
      ];
      for (const payload of odd) await write(client, scene, { aggregateId: "odd", payload });
      await write(client, scene, { aggregateId: "odd \u{1f4a5} 'quoted'\n", payload: "{}" });
      await write(client, scene, { aggregateId: "broken", payload: "{}", headers: "[1]" });
      await write(client, scene, { aggregateId: "broken", payload: "{}" });
      const refused = await write(client, scene, { aggregateId: null, payload: "{}" }).catch(
        (error) => error.code,
      );
      if (refused !== "23502") scene.violations.push("the table took an event without an aggregate");
      const invalid = await write(client, scene, { aggregateId: "odd", payload: "{" }).catch(
        (error) => error.code,
      );
      if (invalid !== "22P02") scene.violations.push("the table took a payload that is no JSON");
      await until(
        "the broken row blocks",
        15_000,
        () => scene.crew.said("aggregate-blocked") > 0 || undefined,
      );
      await scene.last(2_000);
      const { rowCount } = await client.query(
        "select from undispatched_events where aggregate_id = 'broken'",
      );
      if (rowCount !== 2) scene.violations.push("a broken row, or the one behind it, is gone");
      await client.query(
        "update undispatched_events set headers = '{}' where aggregate_id = 'broken' and headers is not null",
      );
      scene.fault("repaired");
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "F34",
    title: "one application stamps created_at itself, by a clock that is 5 s behind",
    bound: "none lost, no duplicate; late events counted; inversions ≤ events so stamped",
    run: async (scene) => {
      await scene.begin();
      const client = await openWriter(scene);
      const createdAt = "clock_timestamp() - interval '5 seconds'";
      const skewed = 200;
      for (let n = 0; n < skewed; n += 1)
        await write(client, scene, { aggregateId: `aggregate-${n}`, payload: "{}", createdAt });
      await scene.calm(4_000);
      await scene.load?.stop();
      await scene.drained();
      if (scene.crew.said("late-events") === 0) scene.violations.push("no late event was counted");
      return { duplicatesMax: 0, inversionsMax: skewed };
    },
  },
];

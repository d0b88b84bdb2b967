/**
 * Consumers of one event: the right one, and twins that are broken in the ways people break it. Each says
 * aloud what it has just done, and a trial may end it there as `kill -9` would: its connection is gone,
 * nothing of it runs any more, and the event is delivered again unless it was acknowledged.
 */
import pg from "pg";
import { fromPg, inbox } from "../../src/index.ts";

class Killed extends Error {}

/** Told after each step; rejects when the consumer dies there. */
type Step = (name: string) => Promise<void>;

/** Processes the event over these two connections. Returning acknowledges it; so may `acknowledge` before. */
export type Consumer = (
  client: pg.Client,
  beside: pg.Client,
  eventId: string,
  step: Step,
  acknowledge: () => void,
) => Promise<void>;

const effect = (by: pg.Client, id: string) => by.query("insert into effects values ($1)", [id]);

export const rightConsumer: Consumer = async (client, _, id, step) => {
  await client.query("begin");
  await inbox.once(fromPg(client), "billing", id, async () => {
    await step("marked");
    await effect(client, id);
    await step("effect written");
  });
  await step("before the commit");
  await client.query("commit");
  await step("committed");
};

export const brokenConsumers: Readonly<Record<string, Consumer>> = {
  async "works outside of the transaction"(client, beside, id, step) {
    await client.query("begin");
    await inbox.once(fromPg(client), "billing", id, async () => {
      await effect(beside, id);
      await step("effect written");
    });
    await client.query("commit");
    await step("committed");
  },

  async "marks after the commit"(client, _, id, step) {
    const { rows } = await client.query("select 1 from processed_events where event_id = $1", [id]);
    if (rows.length > 0) return;
    await client.query("begin");
    await effect(client, id);
    await client.query("commit");
    await step("effect committed");
    await client.query("insert into processed_events (consumer, event_id) values ('billing', $1)", [id]);
    await step("marked");
  },

  async "marks in a transaction of its own, before"(client, _, id, step) {
    await client.query("begin");
    const { isFirst } = await inbox.once(fromPg(client), "billing", id, async () => undefined);
    await client.query("commit");
    await step("marked");
    if (isFirst) await effect(client, id);
    await step("effect committed");
  },

  async "acknowledges before the commit"(client, _, id, step, acknowledge) {
    await client.query("begin");
    await inbox.once(fromPg(client), "billing", id, () => effect(client, id));
    acknowledge();
    await step("acknowledged");
    await client.query("commit");
    await step("committed");
  },

  async "has no inbox"(client, _, id, step) {
    await effect(client, id);
    await step("effect committed");
  },
};

/** Resolves when the server has noticed that the backend's client is gone, and rolled back. */
async function isGone(observer: pg.Client, pids: readonly number[]): Promise<void> {
  for (;;) {
    const { rows } = await observer.query("select 1 from pg_stat_activity where pid = any ($1::int[])", [
      pids,
    ]);
    if (rows.length === 0) return;
  }
}

async function attempt(
  url: string,
  observer: pg.Client,
  deliver: (...clients: [pg.Client, pg.Client]) => Promise<void>,
) {
  const clients: [pg.Client, pg.Client] = [new pg.Client(url), new pg.Client(url)];
  for (const client of clients) {
    client.on("error", () => undefined);
    await client.connect();
  }
  try {
    await deliver(...clients);
  } catch (thrown) {
    if (!(thrown instanceof Killed)) throw thrown;
  }
  const pids = clients.map((client) => (client as unknown as { processID: number }).processID);
  for (const client of clients) {
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
  await isGone(observer, pids);
}

/** Kills the consumer once after each of its steps; says how many effects its event had in the end. */
export async function countEffects(consumer: Consumer, url: string, observer: pg.Client): Promise<string[]> {
  const counts: string[] = [];
  const killAt = async (place: number): Promise<string> => {
    const { rows } = await observer.query<{ id: string }>("select gen_random_uuid() as id");
    const id = rows[0]?.id ?? "";
    let stepsDone = 0;
    let last = "";
    let isAcknowledged = false;
    const deliver = async (client: pg.Client, beside: pg.Client) => {
      const step: Step = async (name) => {
        stepsDone += 1;
        if (stepsDone !== place) return;
        last = name;
        throw new Killed(name);
      };
      await consumer(client, beside, id, step, () => {
        isAcknowledged = true;
      });
      isAcknowledged = true;
    };
    for (let deliveries = 0; deliveries < 3 && !isAcknowledged; deliveries++)
      await attempt(url, observer, deliver);
    if (last === "") return "";
    const counted = await observer.query<{ count: string }>(
      "select count(*) from effects where event_id = $1",
      [id],
    );
    counts.push(`${last}: ${counted.rows[0]?.count}`);
    return last;
  };
  for (let place = 1; (await killAt(place)) !== ""; place++);
  return counts;
}

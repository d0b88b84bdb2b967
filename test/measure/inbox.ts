/**
 * The inbox under fire, and what it costs. Two consumers of one group read 100,000 deliveries with 20 %
 * duplicates from Kafka, half of these in another partition than the first delivery, so that both may have
 * the same event at once. They are killed again and again. Then every effect is counted. The same is
 * done on a smaller scale without the inbox: a judge that finds nothing wrong there would prove nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt, randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel, Partitioners } from "kafkajs";
import pg from "pg";
import { type Random, seededRandom, seedMax } from "../../src/cli/demo/seeded-random.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { preparedDatabase } from "../support/prepared-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { accountsCount, type Booking, bookingTables, judge } from "./inbox-bookings.ts";
import { measureInboxCost } from "./inbox-cost.ts";

interface Servers {
  readonly url: string;
  readonly brokers: string;
}

const partitions = 4;
const duplicateShare = 0.2;

interface Delivery {
  readonly booking: Booking;
  readonly partition: number;
}

/** A duplicate follows its event by at most 2,000 deliveries, as after a crash of a relay. */
function planDeliveries(count: number, random: Random): Delivery[] {
  const firsts: Delivery[] = [];
  const eventsCount = Math.round(count * (1 - duplicateShare));
  return Array.from({ length: count }, (_, place) => {
    const isForced = count - place <= eventsCount - firsts.length;
    const isDuplicate = firsts.length === eventsCount || (!isForced && random.next() < duplicateShare);
    if (isDuplicate && firsts.length > 0) {
      const first = firsts[firsts.length - 1 - random.below(Math.min(firsts.length, 2_000))];
      if (first !== undefined) {
        return random.next() < 0.5 ? first : { ...first, partition: random.below(partitions) };
      }
    }
    const account = random.below(accountsCount);
    const booking = { eventId: randomUUID(), account, amount: 1 + random.below(1_000) };
    const delivery = { booking, partition: account % partitions };
    firsts.push(delivery);
    return delivery;
  });
}

async function send(kafka: Kafka, topic: string, deliveries: readonly Delivery[]): Promise<void> {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  for (let from = 0; from < deliveries.length; from += 2_000) {
    const messages = deliveries.slice(from, from + 2_000).map(({ booking, partition }) => ({
      partition,
      key: String(booking.account),
      value: JSON.stringify({ account: booking.account, amount: booking.amount }),
      headers: { event_id: booking.eventId },
    }));
    await producer.send({ topic, messages });
  }
  await producer.disconnect();
}

/** Two processes of one consumer; the one that is killed is started again. */
class Consumers {
  handled = 0;
  skipped = 0;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #running: ChildProcess[] = [];

  constructor(environment: NodeJS.ProcessEnv) {
    this.#environment = { ...process.env, ...environment };
    for (let count = 0; count < 2; count++) this.#start();
  }

  #start(): void {
    const entry = fileURLToPath(new URL("inbox-consumer.ts", import.meta.url));
    const child = spawn(process.execPath, ["--import", "tsx", entry], {
      env: this.#environment,
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    let [handled, skipped] = [0, 0];
    child.on("message", (message) => {
      const now = message as { handled: number; skipped: number };
      this.handled += now.handled - handled;
      this.skipped += now.skipped - skipped;
      [handled, skipped] = [now.handled, now.skipped];
    });
    this.#running.push(child);
  }

  async kill(place: number): Promise<void> {
    const [child] = this.#running.splice(place, 1);
    child?.kill("SIGKILL");
    if (child !== undefined && child.exitCode === null && child.signalCode === null)
      await once(child, "exit");
  }

  async replace(place: number): Promise<void> {
    await this.kill(place);
    this.#start();
  }

  async end(): Promise<void> {
    while (this.#running.length > 0) await this.kill(0);
  }
}

/** Resolves when the group has committed the end of every partition. */
async function isConsumed(kafka: Kafka, topic: string, groupId: string, whenever: () => Promise<void>) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map((end) => [end.partition, end.offset]));
    for (;;) {
      const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] });
      if (committed?.partitions.every(({ partition, offset }) => ends.get(partition) === offset)) return;
      await whenever();
      await systemClock.sleep(50);
    }
  } finally {
    await admin.disconnect();
  }
}

async function play(servers: Servers, count: number, crashes: number, mode: "on" | "off", random: Random) {
  const database = await preparedDatabase(servers.url, bookingTables);
  const kafka = new Kafka({ brokers: servers.brokers.split(","), logLevel: logLevel.NOTHING });
  const topic = uniqueTopic("inbox");
  await createTopics(servers.brokers, [{ topic, partitions }]);
  const deliveries = planDeliveries(count, random);
  await send(kafka, topic, deliveries);
  const bookings = [...new Map(deliveries.map(({ booking }) => [booking.eventId, booking])).values()];
  const consumers = new Consumers({
    DATABASE_URL: database.url,
    KAFKA_BROKERS: servers.brokers,
    TOPIC: topic,
    GROUP: topic,
    INBOX: mode,
  });
  const client = new pg.Client(database.url);
  try {
    await client.connect();
    let killed = 0;
    const gap = count / (crashes + 1);
    let next = gap * (0.5 + random.next());
    await isConsumed(kafka, topic, topic, async () => {
      if (killed === crashes || consumers.handled < next) return;
      await consumers.replace(random.below(2));
      killed += 1;
      next = gap * (killed + 0.5 + random.next() / 2);
    });
    await consumers.end();
    const verdict = await judge(client, bookings);
    const { handled, skipped } = consumers;
    return {
      deliveries: count,
      duplicates: count - bookings.length,
      crashes: killed,
      handled,
      skipped,
      ...verdict,
    };
  } finally {
    await consumers.end();
    await client.end();
    await database.drop();
  }
}

export async function measureInbox(servers: Servers): Promise<object> {
  const seed = Number(process.env.SEED ?? randomInt(seedMax));
  process.stderr.write(`SEED=${seed}\n`);
  const random = seededRandom(seed);
  const cost = await measureInboxCost(servers.url, random);
  const control = await play(servers, 10_000, 1, "off", random);
  const figures = await play(servers, 100_000, 8, "on", random);
  return { seed, ...figures, ...cost, wrongWithoutInbox: control.wrong };
}

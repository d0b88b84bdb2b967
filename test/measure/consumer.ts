/**
 * What the lanes of a consumer bring: work that waits 5 ms, on 50 aggregates in 3 partitions, through
 * `consume` and through kafkajs's own `eachMessage`, one after the other on the same topic.
 * `npm run measure -- consumer`.
 */
import type { Consumer } from "kafkajs";
import { systemClock } from "../../src/foundation/clock.ts";
import { consume } from "../../src/inbox/consumer.ts";
import { EventTopic, kafkaOf } from "../support/group-members.ts";
import { uniqueTopic } from "../support/topics.ts";

const events = 3_000;
const aggregates = 50;
const partitions = 3;
const workMs = 5;

interface Run {
  readonly name: string;
  /** Starts to consume, calls `work` for every event, and returns the call that stops it. */
  start(consumer: Consumer, topic: string, work: () => Promise<void>): Promise<() => Promise<void>>;
}

function withLanes(concurrency: number): Run {
  return {
    name: `consume, concurrency ${concurrency}`,
    start: async (consumer, topic, work) => {
      const running = consume({ consumer, topics: [topic], concurrency, handle: work });
      await running.start();
      return () => running.stop();
    },
  };
}

function eachMessage(partitionsConsumedConcurrently: number): Run {
  return {
    name: `eachMessage, partitionsConsumedConcurrently ${partitionsConsumedConcurrently}`,
    start: async (consumer, topic, work) => {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await consumer.run({ partitionsConsumedConcurrently, eachMessage: work });
      return () => consumer.disconnect();
    },
  };
}

/** Events a second from the first one begun to the last one done. */
async function eventsPerSecond(brokers: string, topic: string, run: Run): Promise<number> {
  let [done, beganMs, endedMs] = [0, 0, 0];
  const consumer = kafkaOf(brokers).consumer({ groupId: uniqueTopic("measure"), maxWaitTimeInMs: 500 });
  const stop = await run.start(consumer, topic, async () => {
    if (beganMs === 0) beganMs = systemClock.monotonicMs();
    await systemClock.sleep(workMs);
    done += 1;
    if (done === events) endedMs = systemClock.monotonicMs();
  });
  while (endedMs === 0) await systemClock.sleep(20);
  await stop();
  return Math.round(events / ((endedMs - beganMs) / 1_000));
}

export async function consumer({ brokers }: { readonly brokers: string }): Promise<object> {
  const topic = await EventTopic.make(brokers, partitions);
  for (let n = 0; n < events; n += 100) {
    await topic.send(Array.from({ length: 100 }, (_, m) => `aggregate-${(n + m * 7) % aggregates}`));
  }
  const rates: Record<string, number> = {};
  const measure = async (run: Run): Promise<number> => {
    const rate = await eventsPerSecond(brokers, topic.topic, run);
    process.stderr.write(`${run.name}: ${rate} events/s\n`);
    rates[run.name] = rate;
    return rate;
  };
  const [plain, plainAtOnce] = [await measure(eachMessage(1)), await measure(eachMessage(partitions))];
  await measure(withLanes(1));
  const [at16, at50] = [await measure(withLanes(16)), await measure(withLanes(aggregates))];
  await topic.close();
  const ratio = (rate: number, base: number) => Number((rate / base).toFixed(1));
  return {
    ...{ events, aggregates, partitions, workMs, eventsPerSecond: rates },
    at16: { toEachMessage: ratio(at16, plain), toEachMessageAtOnce: ratio(at16, plainAtOnce) },
    at50: { toEachMessage: ratio(at50, plain), toEachMessageAtOnce: ratio(at50, plainAtOnce) },
  };
}

/** What `consume` takes, against the types of kafkajs itself: see `refused.ts` for how this is checked. */
import type { Consumer, Kafka, Producer } from "kafkajs";
import { type ConsumeOptions, consume, type KafkaConsumer } from "../../src/index.ts";

const handle: ConsumeOptions["handle"] = async ({ payload, json }) => [payload.length, json()];

export function consumersOfKafkajs(kafka: Kafka, consumer: Consumer): KafkaConsumer {
  consume({ consumer: kafka.consumer({ groupId: "billing" }), topics: ["orders"], handle });
  consume({ consumer, topics: ["orders"], handle, poisoned: { policy: "block" } });
  consume({ consumer, topics: ["orders"], handle, poisoned: { policy: "park", onPoisoned: async () => 1 } });
  return consumer;
}

export function whatIsNoConsumer(kafka: Kafka, consumer: Consumer, producer: Producer): void {
  // @ts-expect-error a Kafka
  consume({ consumer: kafka, topics: ["orders"], handle });
  // @ts-expect-error a producer
  consume({ consumer: producer, topics: ["orders"], handle });
  // @ts-expect-error a pattern: it would match only what exists at the start
  consume({ consumer, topics: [/orders/], handle });
  // @ts-expect-error work that nobody can wait for
  consume({ consumer, topics: ["orders"], handle: () => undefined });
  // @ts-expect-error parked nowhere
  consume({ consumer, topics: ["orders"], handle, poisoned: { policy: "park" } });
  // @ts-expect-error a payload parsed to a type that nobody has checked
  consume({ consumer, topics: ["orders"], handle: async (event): Promise<number> => event.json().total });
}

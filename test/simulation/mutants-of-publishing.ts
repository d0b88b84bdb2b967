/** Relays that go wrong between the broker and the delete. */
import { acknowledge } from "../../src/event/acknowledgement.ts";
import type { OutboxEvent } from "../../src/event/event.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import type { Mutant } from "./relay-under-test.ts";
import { lapseScenario } from "./scenario.ts";
import { SimulatedPublisher } from "./simulated-publisher.ts";

function publisherThat(inner: Publisher, publish: Publisher["publish"]): Publisher {
  return { connect: () => inner.connect(), close: () => inner.close(), publish };
}

export const deleteBeforeAck: Mutant = {
  name: "delete before ack",
  fault: "rows are deleted when they are handed to the broker, not when it has them",
  mutate(parts) {
    const { outbox, publisher } = parts;
    parts.publisher = publisherThat(publisher, async (messages) => {
      await outbox.remove(messages.map(({ event }) => acknowledge(event))).catch(() => undefined);
      return publisher.publish(messages);
    });
  },
};

export const unknownIsAck: Mutant = {
  name: "unknown taken for an ack",
  fault: "an event whose outcome is unknown counts as published",
  mutate(parts) {
    const { publisher } = parts;
    parts.publisher = publisherThat(publisher, async (messages) => {
      const { acks, unknowns, held, rejections } = await publisher.publish(messages);
      return { unknowns: [], rejections, held, acks: [...acks, ...unknowns.map(acknowledge)] };
    });
  },
};

export const twoBatchesAtOnce: Mutant = {
  name: "two batches of one aggregate at once",
  fault: "the second half of a batch is sent without waiting for the first",
  mutate(parts, { publishing }) {
    const other = new SimulatedPublisher(publishing);
    const { publisher } = parts;
    parts.publisher = publisherThat(publisher, async (messages) => {
      const half = Math.ceil(messages.length / 2);
      const reports = await Promise.all([
        publisher.publish(messages.slice(0, half)),
        other.publish(messages.slice(half)),
      ]);
      const trouble = reports.find((report) => report.trouble !== undefined)?.trouble;
      return {
        acks: reports.flatMap(({ acks }) => acks),
        rejections: reports.flatMap(({ rejections }) => rejections),
        unknowns: reports.flatMap(({ unknowns }) => unknowns),
        held: reports.flatMap(({ held }) => held),
        ...(trouble === undefined ? undefined : { trouble }),
      };
    });
  },
};

export const laneGoesOn: Mutant = {
  name: "a lane goes on after a failure",
  fault: "what stands behind a rejected event of its aggregate is taken for published",
  mutate(parts, { publishing }) {
    const { publisher } = parts;
    const other = new SimulatedPublisher(publishing);
    parts.publisher = publisherThat(publisher, async (messages) => {
      const report = await publisher.publish(messages);
      const held = new Set(report.held);
      const again = await other.publish(messages.filter(({ event }) => held.has(event)));
      return { ...report, held: [...again.held, ...again.unknowns], acks: [...report.acks, ...again.acks] };
    });
  },
};

export const reusedProducer: Mutant = {
  name: "reused idempotent producer",
  scenarios: lapseScenario,
  seed: 9,
  fault: "after a failure the producer lives on and rolls its sequence numbers back",
  mutate(parts, { publishing }) {
    const next = new Map<number, number>();
    const move = (partition: number, by: number): number => {
      const sequence = next.get(partition) ?? 0;
      next.set(partition, sequence + by);
      return sequence;
    };
    parts.publisher = new SimulatedPublisher(publishing, {
      stamp: (partition, events) => ({
        producerId: publishing.process.name,
        sequence: move(partition, events),
      }),
      failed: (partition, events) => void move(partition, -events),
    });
  },
};

export const goesOnAfterAbandoning: Mutant = {
  name: "publishing on after an abandoned shard",
  scenarios: lapseScenario,
  seed: 50,
  fault: "events are left out while a lease is not trusted, and later ones are sent when it is again",
  mutate(parts) {
    const { publisher, shardsOf } = parts;
    const leftOut = new WeakSet<OutboxEvent>();
    let mayPublish: (shard: number) => boolean = () => true;
    parts.shardsOf = (keeper) => {
      const shards = shardsOf(keeper);
      mayPublish = (shard) => shards.mayPublish(shard);
      return {
        start: () => shards.start(),
        stop: () => shards.stop(),
        claimable: () => shards.claimable(),
        handBackDrained: (inUse) => shards.handBackDrained(inUse),
        mayPublish: () => true,
        termOf: (shard) => shards.termOf(shard),
      };
    };
    parts.publisher = publisherThat(publisher, async (messages) => {
      for (const { event } of messages) if (!mayPublish(event.shard)) leftOut.add(event);
      const report = await publisher.publish(messages.filter(({ event }) => !leftOut.has(event)));
      const held = messages.flatMap(({ event }) => (leftOut.has(event) ? event : []));
      return { ...report, held: [...report.held, ...held] };
    });
  },
};

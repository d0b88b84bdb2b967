/** The pulse of a relay: waiting for what is away keeps it, waiting for nothing that comes does not. */
import { describe, expect, it } from "vitest";
import type { Report } from "../../../src/event/delivery.ts";
import type { Message } from "../../../src/event/message.ts";
import { type ManualClock, manualClock } from "../../support/clock.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";
import { RecordingPublisher } from "../../support/recording-publisher.ts";
import { makeRelay } from "../../support/running-relay.ts";

class UnansweredPublisher extends RecordingPublisher {
  override async publish(messages: readonly Message[]): Promise<Report> {
    const unknowns = messages.map(({ event }) => event);
    return { acks: [], rejections: [], unknowns, held: [], trouble: "no answer" };
  }
}

/** Answers nothing until it is let go. */
class StuckPublisher extends RecordingPublisher {
  letGo: () => void = () => undefined;

  override async publish(messages: readonly Message[]): Promise<Report> {
    await new Promise<void>((resolve) => {
      this.letGo = resolve;
    });
    return super.publish(messages);
  }
}

/** Moves time on in steps, so that whoever waits does so again and again. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) await clock.advance(10);
}

async function started(publisher: RecordingPublisher) {
  const clock = manualClock();
  const outbox = new MemoryOutbox();
  const { relay, ear } = makeRelay(outbox, publisher, { clock });
  expect(relay.pulseAgeMs).toBeNull();
  await relay.start();
  return { clock, outbox, relay, ear };
}

/** Two events, one after the other: while the first is under way, the loop waits with the second. */
async function writeTwice(outbox: MemoryOutbox, clock: ManualClock): Promise<void> {
  for (const aggregateId of ["a", "b"]) {
    const transaction = await outbox.begin();
    await transaction.insert({ aggregateId });
    await transaction.commit();
    await pass(clock, 50);
  }
}

describe("the pulse of a relay", () => {
  it("goes on while there is nothing to do, and while the broker is away", async () => {
    const { clock, outbox, relay, ear } = await started(new UnansweredPublisher());
    await pass(clock, 500);
    expect(relay.pulseAgeMs).toBeLessThan(50);
    await writeTwice(outbox, clock);
    await pass(clock, 5_000);
    expect(ear.all("broker-lost")).toHaveLength(1);
    expect(relay.pulseAgeMs).toBeLessThan(50);
    await relay.stop();
  });

  it("stops when a call never comes back", async () => {
    const publisher = new StuckPublisher();
    const { clock, outbox, relay } = await started(publisher);
    await writeTwice(outbox, clock);
    await pass(clock, 5_000);
    expect(relay.pulseAgeMs).toBeGreaterThan(4_900);
    const stopping = relay.stop();
    publisher.letGo();
    await stopping;
  });
});

import { describe, expect, it } from "vitest";
import { Health } from "../../../src/observability/health.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { PublishedBatch } from "../../../src/relay/published-batch.ts";
import { manualClock } from "../../support/clock.ts";

function listening({ isBrokerNeeded = true, makeHealth = Health } = {}) {
  const clock = manualClock();
  const announcements = new Announcements();
  const pulse: { ageMs: number | null } = { ageMs: null };
  const health = new makeHealth(clock, { pulseAgeMsMax: 1_000, isBrokerNeeded }, () => pulse.ageMs);
  announcements.subscribe(health.listener);
  const said = () => [health.live().isOk, health.started().isOk, health.ready().isOk].map(Number).join("");
  const failing = () =>
    health
      .ready()
      .checks.filter(({ isOk }) => !isOk)
      .map(({ name }) => name);
  return { clock, announcements, health, pulse, said, failing };
}

const published = { type: "batch-published", rejected: 0, unknown: 0, resent: 0, durationMs: 1 } as const;
const batch = new PublishedBatch([], { rejections: [], unknowns: [], held: [] });

/** The twin that asks the broker whether it lives: an outage would restart every relay there is. */
class NervousHealth extends Health {
  override live() {
    return this.ready();
  }
}

/** live, started, ready: after each announcement. */
function story(stage: ReturnType<typeof listening>): string[] {
  const { announcements, pulse, said } = stage;
  const told = [said()];
  const tell = (announcement: Parameters<Announcements["announce"]>[0]) => {
    announcements.announce(announcement);
    told.push(said());
  };
  tell({ type: "outbox-lost", message: "" });
  tell({ type: "outbox-back", outageMs: 1 });
  tell({ type: "relay-started" });
  pulse.ageMs = 10;
  tell({ type: "broker-lost", message: "" });
  tell({ type: "broker-back", outageMs: 1 });
  tell({ type: "outbox-lost", message: "" });
  tell({ type: "polled", events: 0, bytes: 0, fenceLagMs: 0, databaseClockMs: 0, durationMs: 1 });
  tell({ type: "relay-stopping" });
  return told;
}

const expected = ["100", "100", "100", "111", "110", "111", "110", "111", "110"];

describe("health", () => {
  it("is alive throughout, started once and for all, and ready when everything answers", () => {
    expect(story(listening())).toEqual(expected);
  });

  it("would be seen to ask the broker whether it lives", () => {
    expect(story(listening({ makeHealth: NervousHealth }))).not.toEqual(expected);
  });

  it("does not need the broker where it is told so, and shows that it is away", () => {
    const { announcements, health, said } = listening({ isBrokerNeeded: false });
    announcements.announce({ type: "relay-started" });
    announcements.announce({ type: "broker-lost", message: "" });
    expect(said()).toBe("111");
    expect(health.ready().checks).toContainEqual({ name: "broker", isOk: true, state: "away", forMs: 0 });
  });

  it("is not alive without a pulse, and ages do not count before the first round or after the last", () => {
    const { announcements, pulse, said, failing, health } = listening();
    pulse.ageMs = 5_000;
    expect(said()).toBe("100");
    announcements.announce({ type: "relay-started" });
    expect(said()).toBe("010");
    expect(failing()).toEqual(["loop"]);
    pulse.ageMs = 1_000;
    expect(said()).toBe("111");
    health.drain();
    pulse.ageMs = 5_000;
    expect(said()).toBe("110");
  });

  it("says for how long it has been so", async () => {
    const { announcements, clock, health } = listening();
    announcements.announce({ type: "relay-started" });
    announcements.announce({ type: "broker-lost", message: "" });
    await clock.advance(700);
    announcements.announce({ type: "broker-lost", message: "" });
    expect(health.ready().checks).toContainEqual({ name: "broker", isOk: false, state: "away", forMs: 700 });
  });

  it("takes a batch of which a part is missing for no sign of the broker's return", () => {
    const { announcements, failing } = listening();
    announcements.announce({ type: "relay-started" });
    announcements.announce({ type: "broker-lost", message: "" });
    announcements.announce({ ...published, events: 5, unknown: 1, batch });
    expect(failing()).toEqual(["broker"]);
    announcements.announce({ ...published, events: 1, batch });
    expect(failing()).toEqual([]);
  });
});

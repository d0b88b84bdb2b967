/**
 * The order of the audit's steps, over a system that publishes and deletes a row at every question it is
 * asked: the worst moment for every one of them. A healthy system must never be called faulty.
 */
import { describe, expect, it } from "vitest";
import { type AuditChoices, runAudit } from "../../../src/audit/audit.ts";
import { isoOfMicros } from "../../../src/event/position.ts";
import { systemClock } from "../../../src/foundation/clock.ts";
import type { OutboxWitness, WitnessedRow } from "../../../src/outbox/witness.ts";
import type { TopicReader, TopicRecord } from "../../../src/publisher/topic-reader.ts";

const choices: AuditChoices = {
  topics: [],
  durationMs: 5,
  sinceMs: null,
  messagesMax: 1_000,
  eventsMax: 1_000,
  ageMaxMs: 60_000,
  isolation: "read_committed",
  waitMsMax: 10,
};

/** One topic with one partition. */
class RestlessSystem implements OutboxWitness, TopicReader {
  readonly #rows: WitnessedRow[];
  readonly #log: TopicRecord[] = [];
  /** Rows that leave without being published. */
  readonly #lost: ReadonlySet<string>;

  constructor(count: number, lost: readonly string[] = []) {
    this.#lost = new Set(lost);
    this.#rows = Array.from({ length: count }, (_, n) => ({
      eventId: `e-${n}`,
      aggregateId: `a-${n % 3}`,
      createdAt: isoOfMicros(1_767_225_600_000_000 + n),
      topic: null,
      aggregateType: null,
    }));
  }

  #step(): void {
    const row = this.#rows.shift();
    if (row === undefined || this.#lost.has(row.eventId)) return;
    const { aggregateId: key, eventId, createdAt } = row;
    this.#log.push({ offset: this.#log.length, key, eventId, createdAt });
  }

  /** The world moves on before and after every answer. */
  #answer<T>(read: () => T): Promise<T> {
    this.#step();
    const answer = read();
    this.#step();
    return Promise.resolve(answer);
  }

  readonly partitionOf = () => 0;
  readonly connect = () => this.#answer(() => undefined);
  readonly close = async () => undefined;
  readonly sample = () => this.#answer(() => this.#rows.slice(0, 20));
  readonly find = (ids: readonly string[]) =>
    this.#answer(() => {
      const waiting = new Set(this.#rows.map(({ eventId }) => eventId));
      return new Map(ids.filter((id) => waiting.has(id)).map((id) => [id, "outbox" as const]));
    });
  readonly standing = () =>
    this.#answer(() => ({
      waiting: this.#rows.length,
      isMore: false,
      oldestAgeMs: 1,
      stale: 0,
      blocked: 0,
      deadLetters: 0,
    }));
  readonly describe = () => this.#answer(() => new Map([["t", 1]]));
  readonly bounds = () => this.#answer(() => [{ partition: 0, low: 0, end: this.#log.length }]);
  readonly offsetsAt = () => this.#answer(() => new Map([[0, 0]]));
  readonly read: TopicReader["read"] = ({ from, to }, _isolation, _waitMsMax, onRecord) =>
    this.#answer(() => {
      for (const record of this.#log.slice(from, to)) onRecord(record);
      return to;
    });
}

function audit(system: RestlessSystem, more: Partial<AuditChoices> = {}) {
  const routing = { topicTemplate: "t", topicDefault: "t" };
  const parts = { witness: system, reader: system, routing, clock: systemClock, onProgress: () => undefined };
  return runAudit(parts, { ...choices, ...more });
}

describe("an audit", () => {
  it("calls no row missing or lingering that is merely on its way, at whatever moment it looks", async () => {
    for (let rows = 1; rows <= 60; rows += 1) {
      const { custody } = await audit(new RestlessSystem(rows));
      expect(custody).toMatchObject({ missing: 0, unproven: 0, lingering: 0 });
    }
  });

  it("misses none of those that are", async () => {
    const { custody } = await audit(new RestlessSystem(60, ["e-4", "e-6"]));
    expect(custody).toMatchObject({ missing: 2, unproven: 0 });
    expect(custody.examples.missing.map(({ eventId }) => eventId)).toEqual(["e-4", "e-6"]);
  });

  it("follows no more rows than it was allowed", async () => {
    const { custody } = await audit(new RestlessSystem(60), { eventsMax: 3 });
    expect(custody.judged).toBe(3);
  });

  it("audits named topics alone, and refuses one that is not there", async () => {
    await expect(audit(new RestlessSystem(3), { topics: ["u"] })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });
});

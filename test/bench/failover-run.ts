/**
 * Two relays share an outbox, and one is killed with SIGKILL: how long until the other publishes for it?
 * Counted are only events that were written after the kill, in shards that the dead one held: whoever
 * published those, it was not the dead relay.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type Consumer, Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { shardsPerGroup } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { rounded } from "../../src/foundation/figures.ts";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { machineMs } from "./machine-clock.ts";
import { type Delivery, relayEnvironment } from "./relay-run.ts";
import type { Place } from "./stage.ts";

export interface FailoverFigures {
  /** Milliseconds from the kill to the first such event at a consumer of committed records. */
  readonly firstMs: number;
  /** To the first one of the last of the shard groups that the dead relay held. */
  readonly allMs: number;
  readonly groups: number;
}

export interface FailoverSettings {
  readonly delivery: Delivery;
  readonly leaseTtlMs: number;
  readonly leaseRenewMs: number;
}

const writePauseMs = 5;
const deadlineMs = 60_000;

export async function measureFailover(place: Place, settings: FailoverSettings): Promise<FailoverFigures> {
  const environment = {
    ...relayEnvironment(place, settings.delivery),
    OUTRIDER_LEASE_TTL_MS: String(settings.leaseTtlMs),
    OUTRIDER_LEASE_RENEW_MS: String(settings.leaseRenewMs),
  };
  const victim = new RelayProcess(environment);
  const survivor = new RelayProcess(environment);
  const traffic = new Traffic(place);
  try {
    // Each half of the shards: the survivor has work of its own beside the takeover.
    await Promise.all([heardHolding(victim, 32), heardHolding(survivor, 32)]);
    await traffic.start();
    await victim.heardTimes("batch-published", 20);
    // Somewhere between two renewals, as a crash would.
    await systemClock.sleep(Math.random() * settings.leaseRenewMs);
    const groups = await groupsOf(place, victim);
    const killedMs = machineMs();
    const arriving = traffic.firstOf(groups, killedMs);
    await victim.end("SIGKILL");
    const waits = (await arriving).map((ms) => ms - killedMs);
    return {
      firstMs: rounded(Math.min(...waits)),
      allMs: rounded(Math.max(...waits)),
      groups: groups.length,
    };
  } finally {
    await Promise.all([victim.end("SIGKILL"), survivor.end("SIGKILL")]);
    await traffic.end();
  }
}

/** The shard groups that a relay holds now. */
async function groupsOf({ databaseUrl }: Place, relay: RelayProcess): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ group: number }>(
    `select distinct shard / ${shardsPerGroup} as group from outrider_shard_leases where holder like $1`,
    [`${hostname()}-${relay.pid}-%`],
  );
  await client.end();
  return rows.map(({ group }) => group);
}

async function heardHolding(relay: RelayProcess, shards: number): Promise<void> {
  await relay.heard("leases-changed", ({ held, members }) => held === shards && members === 2);
}

/** Writes one event after the other and reads them back; knows which group each aggregate belongs to. */
class Traffic {
  readonly #place: Place;
  readonly #groupOf = new Map<string, number>();
  readonly #over = new AbortController();
  readonly #consumer: Consumer;
  #writing: Promise<void> | undefined;
  #onArrival: (group: number, writtenMs: number) => void = () => undefined;

  constructor(place: Place) {
    repairKafkajs();
    this.#place = place;
    const kafka = new Kafka({ brokers: place.brokers.split(","), logLevel: logLevel.NOTHING });
    this.#consumer = kafka.consumer({ groupId: randomUUID(), readUncommitted: false });
  }

  async start(): Promise<void> {
    const consumer = this.#consumer;
    const joined = new Promise<void>((resolve) => {
      consumer.on(consumer.events.GROUP_JOIN, () => resolve());
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [this.#place.topic] });
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => this.#take(message) });
    await joined;
    this.#writing = this.#write();
    this.#writing.catch(() => undefined);
  }

  #take({ key, value }: { readonly key: Buffer | null; readonly value: Buffer | null }): void {
    const { writtenMs } = JSON.parse(String(value)) as { writtenMs: number };
    this.#onArrival(this.#groupOf.get(String(key)) ?? -1, writtenMs);
  }

  async #write(): Promise<void> {
    const { signal } = this.#over;
    const client = new pg.Client({ connectionString: this.#place.databaseUrl });
    await client.connect();
    try {
      for (let n = 0; !signal.aborted; n += 1) {
        const aggregateId = `aggregate-${n % 512}`;
        const { rows } = await client.query<{ group: number }>(
          `insert into undispatched_events (aggregate_id, event_payload) values ($1, $2)
           returning shard / ${shardsPerGroup} as group`,
          [aggregateId, JSON.stringify({ writtenMs: machineMs() })],
        );
        this.#groupOf.set(aggregateId, rows[0]?.group ?? -1);
        await systemClock.sleep(writePauseMs, signal);
      }
    } finally {
      await client.end();
    }
  }

  /** When each of these groups delivered its first event that was written after `sinceMs`. */
  async firstOf(groups: readonly number[], sinceMs: number): Promise<readonly number[]> {
    const firstMs = new Map<number, number>();
    const wanted = new Set(groups);
    const all = new Promise<void>((resolve) => {
      this.#onArrival = (group, writtenMs) => {
        if (writtenMs <= sinceMs || !wanted.has(group) || firstMs.has(group)) return;
        firstMs.set(group, machineMs());
        if (firstMs.size === wanted.size) resolve();
      };
    });
    const late = systemClock.sleep(deadlineMs, this.#over.signal).then(() => {
      if (firstMs.size < wanted.size) throw new Error("the next relay took too long");
    });
    await Promise.race([all, late]);
    return [...firstMs.values()];
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#writing?.catch(() => undefined);
    await this.#consumer.disconnect();
  }
}

/**
 * One run of the demo, from nothing to a verdict:
 *
 *     real parts ─► database, topics ─► consumer, relay ─► writers ─► all received ─► audit
 *
 * One AbortController ends a run early; its reason says why: an error of a part, or `interrupted`.
 * Whatever was begun is on the list of things to undo the moment it exists.
 */
import { randomBytes } from "node:crypto";
import type { Routing } from "../../event/message.ts";
import { invariant } from "../../foundation/errors.ts";
import { kafkaOptionsOf, parseSettings } from "../../service/config.ts";
import { type Arrival, KafkaReception } from "../trial/kafka-reception.ts";
import { type Destination, type RealParts, startParts } from "../trial/real-parts.ts";
import { RelayProcess } from "../trial/relay-process.ts";
import type { TrialTools } from "../trial/run-trial.ts";
import {
  connectTo,
  createScratchDatabase,
  prepareOutbox,
  type ScratchDatabase,
} from "../trial/scratch-database.ts";
import { settleAll } from "../trial/settle-all.ts";
import { countRows, createAuditTable } from "./audit-table.ts";
import { type Audit, Auditor } from "./auditor.ts";
import type { Progress } from "./progress.ts";
import { receiptOf } from "./receipt.ts";
import type { Outcome } from "./rendering.ts";
import { receiveLines } from "./stdout-reception.ts";
import { typedAggregate, type Workload } from "./workload.ts";
import { runWriters } from "./writers.ts";

export interface DemoOptions extends Workload {
  /** How many relays share the outbox; more than one only on the way to Kafka. */
  readonly relays: number;
  /** Undefined: to Kafka, or to standard output where no Kafka can be had. */
  readonly to: Destination | undefined;
}

/** A run that receives nothing new for so long has lost what it still waits for. */
const stalledAfterMs = 30_000;
const checkEveryMs = 20;

/** Runs the demo. @throws what ended it early; the caller undoes what is on the list in any case. */
export async function runDemo(options: DemoOptions, tools: TrialTools<Progress>): Promise<Outcome> {
  const { clock, progress, undoList } = tools;
  const parts = await startParts(options.to, tools);
  tools.ending.signal.throwIfAborted();
  const database = await createScratchDatabase(parts.environment, "demo");
  undoList.add("drop the demo's database", () => database.drop());
  await prepareOutbox(database, (client) => createAuditTable(client, database.schema));
  const run = new DemoRun(options, tools, parts, database);
  await run.open();
  tools.ending.signal.throwIfAborted();
  const { writers, events, aggregates, relays, seed } = options;
  progress.say(
    `${writers} writers, ${events} events on ${aggregates} aggregates, ${relays} relay${relays === 1 ? "" : "s"}, seed ${seed}`,
  );
  const startedAtMs = clock.monotonicMs();
  const rolledBack = await run.writeAndReceive();
  const elapsedMs = Math.round(clock.monotonicMs() - startedAtMs);
  const left = await countRows(database, "undispatched_events");
  const audit = await run.finish();
  const eventsPerSecond = Math.round((audit.published * 1_000) / Math.max(1, elapsedMs));
  return { ...audit, to: parts.to, rolledBack, left, elapsedMs, eventsPerSecond, seed };
}

/** What runs while events flow: a consumer, a relay, writers, and the auditor they all tell. */
class DemoRun {
  readonly #options: DemoOptions;
  readonly #tools: TrialTools<Progress>;
  readonly #parts: RealParts;
  readonly #database: ScratchDatabase;
  readonly #auditor = new Auditor();
  readonly #name = `outrider-demo-${randomBytes(5).toString("hex")}`;
  readonly #routing: Routing = {
    topicDefault: this.#name,
    topicTemplate: `${this.#name}.\${aggregate_type}`,
  };
  readonly #relays: RelayProcess[] = [];
  /** Resolves when all that the stopped relay published has been received. */
  #drain: () => Promise<void> = async () => undefined;

  constructor(
    options: DemoOptions,
    tools: TrialTools<Progress>,
    parts: RealParts,
    database: ScratchDatabase,
  ) {
    this.#options = options;
    this.#tools = tools;
    this.#parts = parts;
    this.#database = database;
  }

  /** Returns when events would flow. A relay or a consumer may wait for ever here, so the signal ends it. */
  async open(): Promise<void> {
    const { signal } = this.#tools.ending;
    const opening = settleAll([
      this.#parts.to === "kafka" ? this.#openConsumer() : Promise.resolve(),
      ...Array.from({ length: this.#options.relays }, () => this.#startRelay()),
    ]);
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    await Promise.race([opening, aborted]);
  }

  async #openConsumer(): Promise<void> {
    const { undoList, ending } = this.#tools;
    const reception = new KafkaReception({
      options: kafkaOptionsOf(parseSettings(this.#parts.environment).settings),
      topics: [this.#routing.topicDefault, `${this.#name}.${typedAggregate}`],
      groupId: this.#name,
      onArrival: this.#receive,
      onFailed: this.#fail,
    });
    this.#drain = () => reception.drain(ending.signal);
    undoList.add("delete the demo's topics", () => reception.deleteTopics());
    await reception.createTopics();
    undoList.add("stop the demo's consumer", () => reception.stop());
    await reception.start();
  }

  async #startRelay(): Promise<void> {
    const { clock, progress, undoList } = this.#tools;
    const relay = new RelayProcess(
      {
        ...this.#database.environment,
        OUTRIDER_PUBLISHER: this.#parts.to,
        OUTRIDER_TOPIC_DEFAULT: this.#routing.topicDefault,
        OUTRIDER_TOPIC_TEMPLATE: this.#routing.topicTemplate,
      },
      { onRemark: (message) => progress.say(`relay: ${message}`), onEnded: this.#fail },
    );
    this.#relays.push(relay);
    undoList.add("stop the relay", () => relay.stop(clock));
    if (relay.events !== undefined) {
      const received = receiveLines(relay.events, this.#receive);
      received.catch(this.#fail);
      this.#drain = () => received;
    }
    await relay.started;
  }

  /** Returns how many events were rolled back, once all others have been received or none come any more. */
  async writeAndReceive(): Promise<number> {
    const { clock, ending, progress } = this.#tools;
    const finished = new AbortController();
    const following = progress.follow(() => this.#auditor, AbortSignal.any([finished.signal, ending.signal]));
    try {
      const rolledBack = await runWriters(
        this.#options,
        {
          schema: this.#database.schema,
          routing: this.#routing,
          clock,
          connect: () => connectTo(this.#database.environment),
          onCommitted: (events, atMs) => {
            for (const event of events) this.#auditor.commit(event, atMs);
          },
        },
        ending.signal,
      );
      await this.#untilSettled();
      return rolledBack;
    } finally {
      finished.abort();
      await following;
    }
  }

  /** Until every committed event was received and its row is gone, or nothing has moved for too long. */
  async #untilSettled(): Promise<void> {
    const { clock, ending } = this.#tools;
    let [published, left, movedAtMs] = [-1, -1, clock.monotonicMs()];
    while (left !== 0) {
      ending.signal.throwIfAborted();
      const isComplete = this.#auditor.published === this.#auditor.committed;
      const leftNow = isComplete ? await countRows(this.#database, "undispatched_events") : -1;
      if (this.#auditor.published !== published || leftNow !== left) movedAtMs = clock.monotonicMs();
      if (clock.monotonicMs() - movedAtMs > stalledAfterMs) return;
      [published, left] = [this.#auditor.published, leftNow];
      if (left !== 0) await clock.sleep(checkEveryMs, ending.signal);
    }
  }

  /** Stops the relays, takes in what they had still published, and audits. */
  async finish(): Promise<Audit & { readonly isStopClean: boolean }> {
    const stops = await settleAll(this.#relays.map((relay) => relay.stop(this.#tools.clock)));
    await this.#drain();
    this.#tools.ending.signal.throwIfAborted();
    const audit = this.#auditor.audit();
    const committed = await countRows(this.#database, "demo_audit");
    invariant(
      audit.committed === committed,
      `the demo's writers report ${audit.committed} committed events, its audit table has ${committed}`,
    );
    return { ...audit, isStopClean: stops.every((isClean) => isClean) };
  }

  readonly #receive = (arrival: Arrival): void => {
    this.#auditor.receive(receiptOf(arrival), this.#tools.clock.monotonicMs());
  };

  readonly #fail = (error: unknown): void => {
    this.#tools.ending.abort(error);
  };
}

/**
 * The publisher port over the model of Kafka. A call is cut into rounds; a round sends one record batch
 * to each partition and waits for all of them, as the real publisher does. A batch with a refused event
 * is refused whole and sent again event by event. After an unknown outcome nothing more is sent in this
 * call, and the next call is another producer's.
 */
import type { Report } from "../../src/event/delivery.ts";
import type { Message } from "../../src/event/message.ts";
import { invariant } from "../../src/foundation/errors.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import { ReportDraft } from "../../src/publisher/report-draft.ts";
import { type ModelBroker, type ProducerStamp, partitionOf } from "./model-broker.ts";
import type { Fate, SimulatedProcess } from "./simulated-process.ts";

export interface PublisherParts {
  readonly process: SimulatedProcess;
  readonly broker: ModelBroker;
  /** Asked for each record batch that arrives. */
  readonly fateOf: () => Fate;
  readonly chunkEventsMax: number;
}

interface Chunk {
  readonly partition: number;
  readonly messages: readonly Message[];
}

type Answer = "written" | "refused" | "out-of-order";
type ChunkOutcome = Answer | "unknown";

/** Stamps the record batches of a producer, and learns what became of them. */
export interface Stamping {
  stamp(partition: number, events: number): ProducerStamp;
  failed(partition: number, events: number): void;
}

export class SimulatedPublisher implements Publisher {
  readonly #parts: PublisherParts;
  readonly #stamping: Stamping | undefined;
  #isBusy = false;

  constructor(parts: PublisherParts, stamping?: Stamping) {
    this.#parts = parts;
    this.#stamping = stamping;
  }

  async connect(): Promise<void> {
    await this.#parts.process.request<void>((reply) => reply());
  }

  async close(): Promise<void> {}

  async publish(messages: readonly Message[]): Promise<Report> {
    invariant(!this.#isBusy, "one call of a publisher at a time");
    this.#isBusy = true;
    const draft = new ReportDraft();
    await this.#sendAll(messages, draft);
    this.#isBusy = false;
    return draft.finish();
  }

  async #sendAll(messages: readonly Message[], draft: ReportDraft): Promise<void> {
    const oneByOne = new Set<number>();
    let queue = messages;
    while (queue.length > 0) {
      const chunks = cut(queue, oneByOne, this.#parts.chunkEventsMax);
      const sent = new Set(chunks.flatMap((chunk) => chunk.messages));
      const outcomes = await Promise.all(chunks.map((chunk) => this.#send(chunk)));
      const again = new Set(
        chunks.flatMap((chunk, at) => conclude(chunk, outcomes[at] ?? "unknown", oneByOne, draft)),
      );
      const rest = queue.filter((message) => !sent.has(message) || again.has(message));
      queue = rest.filter(({ event }) => !draft.isStopped(event));
      for (const message of rest) if (draft.isStopped(message.event)) draft.hold(message.event);
      if (!outcomes.includes("unknown")) continue;
      for (const { event } of queue) draft.leaveUnknown(event, "not sent after the trouble before it");
      return;
    }
  }

  async #send({ partition, messages }: Chunk): Promise<ChunkOutcome> {
    const { process, broker, fateOf } = this.#parts;
    const stamp = this.#stamping?.stamp(partition, messages.length);
    const records = messages.map(({ event, key }) => ({
      eventId: event.eventId,
      aggregateId: key,
      by: process.name,
    }));
    const carryOut = (reply: (answer: Answer) => void) => {
      if (broker.refuses(records)) reply("refused");
      else reply(broker.append(partition, records, stamp) ? "written" : "out-of-order");
    };
    const outcome = await process.request(carryOut, () =>
      broker.leaderless.has(partition) ? { kind: "lost" } : fateOf(),
    );
    if (outcome.isAnswered && outcome.value === "written") return "written";
    this.#stamping?.failed(partition, messages.length);
    return outcome.isAnswered && outcome.value === "refused" ? "refused" : "unknown";
  }
}

/** The first record batch of each partition. */
function cut(queue: readonly Message[], oneByOne: ReadonlySet<number>, eventsMax: number): Chunk[] {
  const chunks = new Map<number, Message[]>();
  for (const message of queue) {
    const partition = partitionOf(message.key);
    const chunk = chunks.get(partition) ?? [];
    if (chunk.length < (oneByOne.has(partition) ? 1 : eventsMax)) chunk.push(message);
    chunks.set(partition, chunk);
  }
  return [...chunks].map(([partition, messages]) => ({ partition, messages }));
}

/** Enters what became of a record batch; returns what has to be sent again, one by one. */
function conclude(
  { partition, messages }: Chunk,
  outcome: ChunkOutcome,
  oneByOne: Set<number>,
  draft: ReportDraft,
): readonly Message[] {
  if (outcome === "refused" && messages.length > 1) {
    oneByOne.add(partition);
    return messages;
  }
  for (const { event } of messages) {
    if (outcome === "written") draft.ack(event);
    else if (outcome === "refused") draft.reject(event, "broker-refused", "refused by the simulation");
    else draft.leaveUnknown(event, "no answer");
  }
  return [];
}

/** Blocks and dead letters beside the model of the outbox. Held to the same contract as PostgreSQL's. */
import type { OutboxEvent } from "../../src/event/event.ts";
import { topicOf } from "../../src/event/message.ts";
import { comparePositions, isoOfMicros, microsOfIso } from "../../src/event/position.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type {
  BlockedAggregate,
  BlockRecord,
  DeadLetter,
  DeadLetterChannel,
  DeadLetterContent,
  DeadLetterFilter,
  MovedLetter,
  Page,
  PageMark,
  Refusal,
  RejectionLedger,
} from "../../src/outbox/dead-letter-channel.ts";
import type { MemoryOutbox } from "./memory-outbox.ts";

type Letter = Refusal & { readonly event: OutboxEvent; readonly deadAt: string };
type WrittenBlock = BlockRecord & { readonly blockedAt: string; readonly retriedAt: string };

const routing = { topicTemplate: "outbox.event.${aggregate_type}", topicDefault: "outbox.event" };

function compareMarks(a: PageMark, b: PageMark): number {
  return comparePositions(a, b) || (a.eventId < b.eventId ? -1 : a.eventId > b.eventId ? 1 : 0);
}

export class MemoryDeadLetters implements RejectionLedger, DeadLetterChannel {
  readonly blocks = new Map<string, WrittenBlock>();
  readonly letters = new Map<string, Letter>();
  isAway = false;
  readonly #outbox: MemoryOutbox;

  constructor(outbox: MemoryOutbox) {
    this.#outbox = outbox;
  }

  #answer(): string {
    if (this.isAway) throw new OutriderError("OUTBOX_UNAVAILABLE", "away", { retriable: true });
    this.#outbox.now += 1;
    return isoOfMicros(this.#outbox.now);
  }

  async load(shards: readonly number[]): Promise<readonly BlockRecord[]> {
    this.#answer();
    const ours = [...this.blocks.values()].filter(({ shard }) => shards.includes(shard));
    for (const { eventId } of ours) if (!this.#outbox.has(eventId)) this.blocks.delete(eventId);
    return ours
      .filter(({ eventId }) => this.#outbox.has(eventId))
      .map(({ blockedAt: _blockedAt, retriedAt: _retriedAt, ...block }) => block);
  }

  async remember(blocks: readonly BlockRecord[]): Promise<void> {
    const now = this.#answer();
    for (const given of blocks) {
      const known = this.blocks.get(given.eventId);
      if (known !== undefined && known.attempts > given.attempts) continue;
      this.blocks.set(given.eventId, { ...given, blockedAt: known?.blockedAt ?? now, retriedAt: now });
    }
  }

  async forget(eventIds: readonly string[]): Promise<void> {
    this.#answer();
    for (const eventId of eventIds) this.blocks.delete(eventId);
  }

  async deadLetter(refusals: readonly Refusal[]): Promise<readonly string[]> {
    const deadAt = this.#answer();
    await this.forget(refusals.map(({ eventId }) => eventId));
    return refusals.flatMap(({ eventId, reason, message, attempts }) => {
      const event = this.#outbox.take(eventId);
      if (event === undefined) return [];
      this.letters.set(eventId, { event, eventId, reason, message, attempts, deadAt });
      return [eventId];
    });
  }

  async list(filter: DeadLetterFilter, page: Page): Promise<readonly DeadLetter[]> {
    this.#answer();
    return this.#page(filter, page).map(toDeadLetter);
  }

  async find(eventId: string): Promise<DeadLetterContent | undefined> {
    this.#answer();
    const letter = this.letters.get(eventId);
    if (letter === undefined) return undefined;
    const { headers, payload } = letter.event;
    return { ...toDeadLetter(letter), headers, payload: payload ?? "" };
  }

  async redrive(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]> {
    this.#answer();
    return this.#page(filter, page, deadUntil).map((letter) => {
      const isMoved = !this.#outbox.has(letter.eventId);
      if (isMoved) {
        this.letters.delete(letter.eventId);
        this.#outbox.putBack(letter.event);
      }
      return { ...markOf(letter), isMoved };
    });
  }

  async discard(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]> {
    this.#answer();
    return this.#page(filter, page, deadUntil).map((letter) => {
      this.letters.delete(letter.eventId);
      return { ...markOf(letter), isMoved: true };
    });
  }

  async blocked(aggregatesMax: number, rowsMax: number): Promise<readonly BlockedAggregate[]> {
    this.#answer();
    const waiting = [...this.blocks.values()].filter(({ eventId }) => this.#outbox.has(eventId));
    return waiting.slice(0, aggregatesMax).map((block) => {
      const rows = this.#outbox.remaining
        .filter((event) => event.shard === block.shard && comparePositions(event, block) >= 0)
        .sort(comparePositions)
        .slice(0, rowsMax);
      const own = rows.filter(({ aggregateId }) => aggregateId === block.aggregateId);
      return { ...block, waiting: own.length, isMore: rows.length >= rowsMax };
    });
  }

  async now(): Promise<string> {
    return this.#answer();
  }

  #page(filter: DeadLetterFilter, { after, lettersMax }: Page, deadUntil?: string): Letter[] {
    return [...this.letters.values()]
      .filter((letter) => isChosen(letter, filter))
      .filter((letter) => after === undefined || compareMarks(markOf(letter), after) > 0)
      .filter(({ deadAt }) => deadUntil === undefined || microsOfIso(deadAt) <= microsOfIso(deadUntil))
      .sort((a, b) => compareMarks(markOf(a), markOf(b)))
      .slice(0, lettersMax);
  }
}

const markOf = ({ event: { createdAt, seq, eventId } }: Letter): PageMark => ({ createdAt, seq, eventId });

function isChosen(
  letter: Letter,
  { eventIds, aggregateId, reason, topic, since }: DeadLetterFilter,
): boolean {
  return (
    (eventIds === undefined || eventIds.includes(letter.eventId)) &&
    (aggregateId === undefined || letter.event.aggregateId === aggregateId) &&
    (reason === undefined || letter.reason === reason) &&
    (topic === undefined || topicOf(letter.event, routing) === topic) &&
    (since === undefined || microsOfIso(letter.deadAt) >= microsOfIso(since))
  );
}

function toDeadLetter({ event, eventId, reason, message, attempts, deadAt }: Letter): DeadLetter {
  const { aggregateId, createdAt, seq, eventType, aggregateType, topic, payloadBytes } = event;
  return {
    eventId,
    aggregateId,
    createdAt,
    seq,
    eventType,
    aggregateType,
    topic,
    reason,
    message,
    attempts,
    deadAt,
    payloadBytes,
  };
}

/**
 * Two relays take turns on one shard group, over a Kafka and a book that fail in every way they can, and
 * die in the middle of things. Whatever happens, each event is committed once, in order. Each rule of the
 * line is then taken out, and the same runs must notice.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { progressUpTo } from "../../../src/event/acknowledgement.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";
import type { BatchBook } from "../../../src/outbox/batch-book.ts";
import type { TransactionalPublisher } from "../../../src/publisher/transactional-publisher.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { ExactlyOnceLine } from "../../../src/relay/exactly-once-line.ts";
import { MemoryBatchBook } from "../../support/memory-batch-book.ts";
import { aMessage } from "../../support/messages.ts";
import { type CommitFate, ModelTransactions, modelPublisher } from "../../support/model-transactions.ts";
import { Ear } from "../../support/running-relay.ts";

const timing = { backoffMinMs: 0, backoffMaxMs: 0 };
const clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  sleep: async () => undefined,
  alarm: () => () => undefined,
};

interface World {
  readonly kafka: ModelTransactions;
  readonly book: MemoryBatchBook;
}

interface Twin {
  readonly publisher?: (real: TransactionalPublisher, world: World) => TransactionalPublisher;
  readonly book?: (real: BatchBook) => BatchBook;
}

interface RelayOptions {
  readonly world: World;
  readonly term: number;
  readonly twin?: Twin;
  readonly nextFate?: () => CommitFate;
  readonly nextEntry?: () => EntryFate;
  readonly acceptDuplicates?: boolean;
  readonly monotonicMs?: () => number;
}

function makeLine({
  world,
  term,
  twin = {},
  nextFate = () => "done",
  nextEntry = () => "done",
  acceptDuplicates = false,
  monotonicMs = () => 0,
}: RelayOptions) {
  const { kafka, book } = world;
  const announcements = new Announcements();
  const real = modelPublisher({ kafka, nextFate });
  const dying = new AbortController();
  const line = new ExactlyOnceLine(
    {
      ...{ announcements, acceptDuplicates, group: 0, leadShard: 0 },
      clock: { ...clock, monotonicMs },
      random: () => 0.5,
      book: faultyBook(twin.book?.(book) ?? book, nextEntry),
      publisher: twin.publisher?.(real, world) ?? real,
    },
    {
      timing,
      signal: dying.signal,
      holding: {
        claimable: () => new Set([0]),
        mayPublish: () => true,
        termOf: () => String(term),
        handBackDrained: async () => undefined,
      },
      abandon: () => undefined,
      beat: () => undefined,
    },
  );
  return { line, dying, ear: new Ear(announcements) };
}

/** `lost`: not written, and nobody says so. `unanswered`: written, and nobody says so. */
type EntryFate = "done" | "lost" | "unanswered";

/** A book whose entries can fail, as a database's statements do. */
function faultyBook(real: BatchBook, nextEntry: () => EntryFate): BatchBook {
  const away = () => new OutriderError("OUTBOX_UNAVAILABLE", "no answer", { retriable: true });
  return {
    identity: () => real.identity(),
    takeOver: (seat) => real.takeOver(seat),
    enter: async (...all) => {
      const fate = nextEntry();
      if (fate === "lost") throw away();
      const removed = await real.enter(...all);
      if (fate === "unanswered") throw away();
      return removed;
    },
    enterAndRemove: (...all) => real.enterAndRemove(...all),
    close: (...all) => real.close(...all),
    end: () => real.end(),
  };
}

/** What happens in one turn: how commits fare, whether the relay is killed, and when what is late arrives. */
interface Turn {
  readonly fates: readonly CommitFate[];
  readonly entries: readonly EntryFate[];
  readonly batch: number;
  /** Dies after so many commits, without another word. */
  readonly diesAfter: number | null;
  readonly settles: boolean;
}

const turns = fc.array(
  fc.record<Turn>({
    fates: fc.array(fc.constantFrom<CommitFate>("done", "aborted", "refused", "lost", "late", "dropped"), {
      maxLength: 4,
    }),
    entries: fc.array(fc.constantFrom<EntryFate>("done", "done", "lost", "unanswered"), { maxLength: 4 }),
    batch: fc.integer({ min: 1, max: 4 }),
    diesAfter: fc.option(fc.integer({ min: 0, max: 3 }), { nil: null }),
    settles: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
);

class Killed extends Error {}

/** Runs the turns, each a relay of its own with a higher term; then one that lives to the end. */
async function run(
  played: readonly Turn[],
  twin: Twin = {},
): Promise<{ committed: string[]; expected: string[] }> {
  const messages = Array.from({ length: 12 }, (_, n) => aMessage({ topic: "t", aggregateId: `a${n % 3}` }));
  const expected = messages.map(({ event }) => event.eventId);
  const world: World = { kafka: new ModelTransactions(), book: new MemoryBatchBook(expected) };
  const last: Turn = { fates: [], entries: [], batch: 5, diesAfter: null, settles: true };
  for (const [at, turn] of [...played, last].entries()) {
    const fates = [...turn.fates];
    const entries = [...turn.entries];
    let commits = 0;
    const nextFate = () => {
      if (turn.diesAfter !== null && commits >= turn.diesAfter) throw new Killed();
      commits += 1;
      return fates.shift() ?? "done";
    };
    const nextEntry = () => entries.shift() ?? "done";
    const { line, dying } = makeLine({ world, term: at + 1, twin, nextFate, nextEntry });
    try {
      if (!(await line.takeOver())) continue;
      for (;;) {
        const waiting = messages.filter(({ event }) => world.book.rows.has(event.eventId));
        const claimed = new Set(world.kafka.committed);
        // A cursor passes over what was published and not removed yet by this very relay.
        const batch = waiting.filter(
          ({ event }) => !(claimed.has(event.eventId) && isOwn(line, event.eventId)),
        );
        if (batch.length === 0) break;
        const claim = batch.slice(0, turn.batch);
        for (const { event } of claim) own(line, event.eventId);
        await line.publish(claim, () => true);
      }
      if (turn.settles) await line.settle();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      // What was sent and not answered when it died may still arrive.
      dying.abort();
    }
  }
  return { committed: world.kafka.committed, expected };
}

const claimedBy = new WeakMap<ExactlyOnceLine, Set<string>>();
const own = (line: ExactlyOnceLine, eventId: string) => {
  const ids = claimedBy.get(line) ?? new Set();
  claimedBy.set(line, ids.add(eventId));
};
const isOwn = (line: ExactlyOnceLine, eventId: string) => claimedBy.get(line)?.has(eventId) === true;

const isExact = async (played: readonly Turn[], twin?: Twin) => {
  const { committed, expected } = await run(played, twin);
  return JSON.stringify(committed) === JSON.stringify(expected);
};

const twins: Readonly<Record<string, Twin>> = {
  "the number is not read at a takeover": {
    publisher: (real) => ({
      ...real,
      takeOver: async () => ((await real.takeOver()) === null ? null : progressUpTo(0)),
    }),
  },
  "the number is read before the producer fences": {
    publisher: (real, { kafka }) => ({
      ...real,
      takeOver: async () => {
        const number = kafka.number;
        kafka.arrive();
        await real.takeOver();
        return number === null ? null : progressUpTo(number);
      },
    }),
  },
  "an unknown outcome counts as an abort": {
    publisher: (real) => ({
      ...real,
      commit: async (...all) => {
        const outcome = await real.commit(...all);
        if (outcome.kind === "unknown") await real.takeOver();
        return outcome;
      },
      takeOver: async () => {
        const progress = await real.takeOver();
        return progress === null ? null : progressUpTo(progress.number - 1);
      },
    }),
  },
  "a batch is committed before it is on file": {
    publisher: (real) => ({
      ...real,
      commit: (number, sendable) => real.commit(number, sendable, async () => true),
    }),
  },
  "rows are deleted before the batch is committed": {
    book: (real) => ({
      identity: () => real.identity(),
      takeOver: (seat) => real.takeOver(seat),
      enter: async (seat, batch) => real.enterAndRemove(seat, batch),
      enterAndRemove: (seat, batch) => real.enterAndRemove(seat, batch),
      close: (seat, number) => real.close(seat, number, null),
      end: () => real.end(),
    }),
  },
};

describe("the line of exactly-once delivery", () => {
  it("commits each event once, in order, whatever fails and whoever dies", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(turns, async (played) => {
        const { committed, expected } = await run(played);
        expect(committed).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  for (const [name, twin] of Object.entries(twins)) {
    it(`is missed by these runs when ${name}`, async () => {
      const result = await fc.check(
        fc.asyncProperty(turns, (played) => isExact(played, twin)),
        { numRuns: 3_000 },
      );
      expect(result.failed, `seed ${result.seed}`).toBe(true);
    });
  }

  it("refuses to guess when the number of an open batch is gone", async () => {
    const world = { kafka: new ModelTransactions(), book: new MemoryBatchBook() };
    const message = aMessage({ topic: "t", aggregateId: "a" });
    world.book.rows.add(message.event.eventId);
    await world.book.takeOver({ group: 0, term: "1" });
    await world.book.enter({ group: 0, term: "1" }, { number: 4, rows: [message.event] }, null);
    const { line } = makeLine({ world, term: 2 });
    const refusal = await line.takeOver().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(OutriderError);
    expect(refusal).toMatchObject({ code: "PROGRESS_MISSING" });
    expect(world.book.rows.size, "nothing is deleted").toBe(1);

    const told = makeLine({ world, term: 2, acceptDuplicates: true });
    expect(await told.line.takeOver()).toBe(true);
    expect(told.ear.all("batch-resolved")).toMatchObject([{ number: 4, events: 1, isCommitted: false }]);
    await told.line.publish([message], () => true);
    expect(world.kafka.number, "numbers go on where they were").toBe(5);
  });

  it("goes on when Kafka forgot the number and nothing is open", async () => {
    const world = { kafka: new ModelTransactions(), book: new MemoryBatchBook() };
    await world.book.takeOver({ group: 0, term: "1" });
    await world.book.close({ group: 0, term: "1" }, 9, null);
    const { line } = makeLine({ world, term: 2 });
    expect(await line.takeOver()).toBe(true);
    expect(world.kafka.number).toBe(9);
  });

  it("lets events gather for half as long as a transaction takes, within reason", async () => {
    const world = { kafka: new ModelTransactions(), book: new MemoryBatchBook() };
    let nowMs = 0;
    let commitMs = 0;
    const twin: Twin = {
      publisher: (real) => ({
        ...real,
        commit: (...all) => {
          nowMs += commitMs;
          return real.commit(...all);
        },
      }),
    };
    const { line } = makeLine({ world, term: 1, twin, monotonicMs: () => nowMs });
    expect(await line.takeOver()).toBe(true);
    const gathered: number[] = [line.gatherMs];
    for (commitMs of [12, 4_000, 7]) {
      await line.publish([aMessage({ topic: "t", aggregateId: "a" })], () => true);
      gathered.push(line.gatherMs);
    }
    expect(gathered).toEqual([0, 6, 50, 3.5]);
  });

  it("gives way to a later term without fencing its producer", async () => {
    const world = { kafka: new ModelTransactions(), book: new MemoryBatchBook() };
    await world.book.takeOver({ group: 0, term: "7" });
    const fenced: string[] = [];
    const takeOver = (real: TransactionalPublisher) => () => {
      fenced.push("x");
      return real.takeOver();
    };
    const twin: Twin = { publisher: (real) => ({ ...real, takeOver: takeOver(real) }) };
    const { line } = makeLine({ world, term: 6, twin });
    expect(await line.takeOver()).toBe(false);
    expect(fenced).toEqual([]);
  });
});

/** What every book of batches must do, PostgreSQL's or the model of it. */
import { describe, expect, it } from "vitest";
import { progressUpTo } from "../../src/event/acknowledgement.ts";
import type { BatchBook, RemovableRow } from "../../src/outbox/batch-book.ts";

export interface BookUnderTest {
  readonly book: BatchBook;
  /** Rows in the outbox, in the order they were written. */
  readonly rows: readonly Required<RemovableRow>[];
  /** Moves every row to another place, as VACUUM FULL does. */
  moveRows(): Promise<void>;
  rowsLeft(): Promise<number>;
  close(): Promise<void>;
}

const group = 3;
const seat = (term: number) => ({ group, term: String(term) });

export function describeBatchBook(name: string, open: () => Promise<BookUnderTest>): void {
  const withBook = async (work: (given: BookUnderTest) => Promise<void>) => {
    const given = await open();
    try {
      await work(given);
    } finally {
      await given.close();
    }
  };

  describe(`batch book contract: ${name}`, () => {
    it("begins with pages on which nothing is open", () =>
      withBook(async ({ book }) => {
        expect(await book.takeOver(seat(1))).toEqual({ number: 0, open: null });
        expect(await book.identity()).toBe(await book.identity());
      }));

    it("tells the next relay what the one before had open", () =>
      withBook(async ({ book, rows }) => {
        await book.takeOver(seat(1));
        expect(await book.enter(seat(1), { number: 1, rows: rows.slice(0, 2) }, null)).toBe(0);
        const eventIds = rows.slice(0, 2).map(({ eventId }) => eventId);
        expect(await book.takeOver(seat(2))).toEqual({
          number: 1,
          open: { eventIds, delivery: "exactly-once" },
        });
        expect(await book.close(seat(2), 1, null)).toBe(0);
        expect(await book.takeOver(seat(2))).toEqual({ number: 1, open: null });
      }));

    it("deletes the rows of a settled batch along with the next line, wherever they are by then", () =>
      withBook(async ({ book, rows, moveRows, rowsLeft }) => {
        await book.takeOver(seat(1));
        const first = { number: 1, rows: rows.slice(0, 2), progress: progressUpTo(1) };
        await book.enter(seat(1), first, null);
        await moveRows();
        const second = { number: 2, rows: rows.slice(2, 3), progress: progressUpTo(2) };
        expect(await book.enter(seat(1), second, first)).toBe(2);
        expect(await book.enter(seat(1), second, first), "its answer was lost").toBe(0);
        expect(await rowsLeft()).toBe(rows.length - 2);
        const byKey = { ...second, rows: second.rows.map(({ eventId }) => ({ eventId })) };
        expect(await book.close(seat(1), 2, byKey)).toBe(1);
        expect(await rowsLeft()).toBe(rows.length - 3);
      }));

    it("deletes the rows of a batch before it is published, for at-most-once", () =>
      withBook(async ({ book, rows, rowsLeft }) => {
        await book.takeOver(seat(1));
        expect(await book.enterAndRemove(seat(1), { number: 1, rows })).toBe(rows.length);
        expect(await rowsLeft()).toBe(0);
        const page = await book.takeOver(seat(2));
        expect(page?.open).toMatchObject({ delivery: "at-most-once" });
        expect(page?.open?.eventIds).toHaveLength(rows.length);
      }));

    it("lets a lower term do nothing at all", () =>
      withBook(async ({ book, rows, rowsLeft }) => {
        await book.takeOver(seat(1));
        await book.enter(seat(1), { number: 1, rows }, null);
        const page = await book.takeOver(seat(2));
        const settled = { number: 1, rows, progress: progressUpTo(1) };
        expect(await book.takeOver(seat(1))).toBeNull();
        expect(await book.enter(seat(1), { number: 2, rows: [] }, settled)).toBeNull();
        expect(await book.enterAndRemove(seat(1), { number: 2, rows })).toBeNull();
        expect(await book.close(seat(1), 1, settled)).toBeNull();
        expect(await rowsLeft()).toBe(rows.length);
        expect(await book.takeOver(seat(2))).toEqual(page);
      }));

    it("never goes back to a lower number", () =>
      withBook(async ({ book, rows }) => {
        await book.takeOver(seat(1));
        await book.enter(seat(1), { number: 7, rows: rows.slice(0, 1) }, null);
        expect(await book.close(seat(1), 6, null)).toBeNull();
        expect(await book.takeOver(seat(1))).toMatchObject({ number: 7, open: { delivery: "exactly-once" } });
      }));
  });
}

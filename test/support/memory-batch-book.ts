/** The book of batches as a model: pages, and the rows that can be deleted along with them. */
import type {
  Batch,
  BatchBook,
  Delivery,
  Page,
  RemovableRow,
  Seat,
  SettledBatch,
} from "../../src/outbox/batch-book.ts";

interface Line {
  term: number;
  number: number;
  open: { readonly eventIds: readonly string[]; readonly delivery: Delivery } | null;
}

export class MemoryBatchBook implements BatchBook {
  readonly rows: Set<string>;
  readonly #pages = new Map<number, Line>();

  constructor(eventIds: Iterable<string> = []) {
    this.rows = new Set(eventIds);
  }

  #page(group: number): Line {
    const page = this.#pages.get(group) ?? { term: 0, number: 0, open: null };
    this.#pages.set(group, page);
    return page;
  }

  async identity(): Promise<string> {
    return "model";
  }

  async takeOver({ group, term }: Seat): Promise<Page | null> {
    const page = this.#page(group);
    if (Number(term) < page.term) return null;
    page.term = Number(term);
    return { number: page.number, open: page.open };
  }

  async enter(seat: Seat, batch: Batch, settled: SettledBatch | null): Promise<number | null> {
    return this.#write(seat, batch.number, settled?.rows ?? [], {
      eventIds: batch.rows.map(({ eventId }) => eventId),
      delivery: "exactly-once",
    });
  }

  async enterAndRemove(seat: Seat, batch: Batch): Promise<number | null> {
    return this.#write(seat, batch.number, batch.rows, {
      eventIds: batch.rows.map(({ eventId }) => eventId),
      delivery: "at-most-once",
    });
  }

  async close(seat: Seat, number: number, settled: SettledBatch | null): Promise<number | null> {
    return this.#write(seat, number, settled?.rows ?? [], null);
  }

  #write(seat: Seat, number: number, remove: readonly RemovableRow[], open: Line["open"]): number | null {
    const page = this.#page(seat.group);
    if (Number(seat.term) !== page.term || number < page.number) return null;
    Object.assign(page, { number, open });
    return remove.filter(({ eventId }) => this.rows.delete(eventId)).length;
  }

  async end(): Promise<void> {}
}

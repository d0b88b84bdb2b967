/**
 * How far a partition may be committed: the first offset whose work is not done. Work is finished out
 * of order, so the ledger keeps what was accepted, in order, and moves its low-water mark over the
 * done entries at its head. Committing anything above that mark loses events at the next crash. Pure.
 */

export interface LedgerEntry {
  readonly offset: bigint;
  isDone: boolean;
}

/** So many passed entries may stay at the head before they are cut off: cutting each would cost a copy. */
const passedEntriesMax = 1_024;

export class OffsetLedger {
  #entries: LedgerEntry[] = [];
  #head = 0;
  #next: bigint | undefined;

  /** Entries from the low-water mark on, done or not: what a crash at this moment would bring again. */
  get aheadCount(): number {
    return this.#entries.length - this.#head;
  }

  /** The offset after the last one accepted; undefined before the first. */
  get next(): bigint | undefined {
    return this.#next;
  }

  /** Offsets are accepted in rising order; there may be holes between them. */
  accept(offset: bigint): LedgerEntry {
    const entry = { offset, isDone: false };
    this.#entries.push(entry);
    this.#next = offset + 1n;
    return entry;
  }

  /** Nothing lies between the last entry and this offset: transaction markers are no events. */
  skipTo(offset: bigint): void {
    if (this.#next === undefined || offset > this.#next) this.#next = offset;
  }

  finish(entry: LedgerEntry): void {
    entry.isDone = true;
    while (this.#entries[this.#head]?.isDone === true) this.#head += 1;
    if (this.#head < passedEntriesMax && this.#head < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }

  /** What may be committed: everything below is done. Undefined before anything was accepted. */
  get lowWater(): bigint | undefined {
    return this.#entries[this.#head]?.offset ?? this.#next;
  }
}

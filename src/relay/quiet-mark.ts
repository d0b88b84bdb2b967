/**
 * What an idle relay goes by: the mark of an outbox that had nothing to claim, and nobody who was writing. While it
 * is the same, there is nothing to look for.
 *
 * It is believed for a while only, because it does not tell of everything: a row that is dated ahead is due when its
 * time comes, not when it is written; rows that were copied back or replicated need not have their numbers from the
 * sequence; and a sequence can be set back. In an outbox without other events such a row would wait for the next
 * one, for hours; so it waits some seconds, and an idle relay claims no more often than that.
 */
const believedMs = 5_000;

export class QuietMark {
  #mark: string | null = null;
  #untilMs = 0;

  /** Of the last poll; null where it found something, or somebody writing. Monotonic milliseconds. */
  note(mark: string | null, nowMs: number): void {
    this.#mark = mark;
    this.#untilMs = nowMs + believedMs;
  }

  /** Something may be there that the mark does not tell of: the next poll claims. */
  forget(): void {
    this.#mark = null;
  }

  /** Null where it is not known, or not believed any more. */
  at(nowMs: number): string | null {
    return nowMs < this.#untilMs ? this.#mark : null;
  }
}

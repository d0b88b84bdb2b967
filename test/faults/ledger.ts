/**
 * The checker of a long run: each event is judged when it arrives and then shrinks to eight bytes, so
 * that what is kept does not grow with the payloads, and hardly with the events. Two ids that share
 * their first 64 bits would be taken for a duplicate: among a million, once in forty million runs.
 */
import { type Micros, microsOfIso } from "../../src/event/position.ts";

interface Intent {
  readonly aggregateId: string;
  readonly at: Micros;
  readonly seq: number;
  isCommitted: boolean;
  isSeen: boolean;
}

export interface Written {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly createdAt: string;
  readonly seq: string;
}

export class Ledger {
  readonly #open = new Map<string, Intent>();
  readonly #seen: BigUint64Array;
  readonly #highest = new Map<string, { readonly at: Micros; readonly seq: number }>();
  events = 0;
  arrived = 0;
  phantom = 0;
  inversions = 0;
  duplicates = 0;

  /** Room for half as many events as there are places; all of it is taken now. */
  constructor(placesPowerOfTwo: number) {
    this.#seen = new BigUint64Array(2 ** placesPowerOfTwo).fill(1n).fill(0n);
  }

  /** Committed and not arrived. */
  get missing(): number {
    let count = 0;
    for (const { isCommitted, isSeen } of this.#open.values()) if (isCommitted && !isSeen) count += 1;
    return count;
  }

  /** Before the commit: its events may arrive before its answer does. */
  intend(rows: readonly Written[]): void {
    for (const { eventId, aggregateId, createdAt, seq } of rows) {
      const at = microsOfIso(createdAt);
      this.#open.set(eventId, { aggregateId, at, seq: Number(seq), isCommitted: false, isSeen: false });
    }
  }

  commit(rows: readonly Written[]): void {
    this.events += rows.length;
    for (const { eventId } of rows) {
      const intent = this.#open.get(eventId);
      if (intent?.isSeen === true) this.#open.delete(eventId);
      else if (intent !== undefined) intent.isCommitted = true;
    }
  }

  abort(rows: readonly Written[]): void {
    for (const { eventId } of rows) {
      if (this.#open.get(eventId)?.isSeen === true) this.phantom += 1;
      this.#open.delete(eventId);
    }
  }

  arrive(eventId: string): void {
    this.arrived += 1;
    if (!this.#remember(eventId)) {
      this.duplicates += 1;
      return;
    }
    const intent = this.#open.get(eventId);
    if (intent === undefined) {
      this.phantom += 1;
      return;
    }
    const { aggregateId, at, seq } = intent;
    const top = this.#highest.get(aggregateId);
    if (top !== undefined && (at < top.at || (at === top.at && seq < top.seq))) this.inversions += 1;
    else this.#highest.set(aggregateId, { at, seq });
    if (intent.isCommitted) this.#open.delete(eventId);
    else intent.isSeen = true;
  }

  /** False when it was there already. */
  #remember(eventId: string): boolean {
    const key = BigInt(`0x${eventId.replaceAll("-", "").slice(0, 16)}`) | 1n;
    const mask = this.#seen.length - 1;
    if (this.events > this.#seen.length / 2) throw new Error("the ledger is full: give it more places");
    for (let place = Number(key >> 20n) & mask; ; place = (place + 1) & mask) {
      if (this.#seen[place] === key) return false;
      if (this.#seen[place] !== 0n) continue;
      this.#seen[place] = key;
      return true;
    }
  }
}

/**
 * What was begun and has to be undone: a trial puts something here the moment it exists, and undoes
 * all of it in reverse order, whatever happened in between. One failure does not keep the rest from
 * being undone.
 */
import { messageOf } from "../../foundation/errors.ts";

interface Undoing {
  readonly what: string;
  readonly undo: () => Promise<unknown>;
}

export class UndoList {
  readonly #list: Undoing[] = [];

  /** `what` completes the sentence "could not …". */
  add(what: string, undo: () => Promise<unknown>): void {
    this.#list.push({ what, undo });
  }

  /** Undoes everything once; returns a sentence for each thing that could not be undone. */
  async undoAll(): Promise<string[]> {
    const failures: string[] = [];
    for (let next = this.#list.pop(); next !== undefined; next = this.#list.pop()) {
      try {
        await next.undo();
      } catch (error) {
        failures.push(`could not ${next.what}: ${messageOf(error)}`);
      }
    }
    return failures;
  }
}

/** The rows that the looks of an audit have seen, each once, up to a bound. */
import { type Routing, topicOf } from "../event/message.ts";
import type { WitnessedRow } from "../outbox/witness.ts";
import type { SeenRow } from "./custody.ts";

export class Sightings {
  readonly #routing: Routing;
  readonly #topics: readonly string[];
  readonly #eventsMax: number;
  readonly #rows = new Map<string, SeenRow>();
  readonly #destinations = new Set<string>();
  #looks = 0;

  /** `topics`: rows bound elsewhere are passed over; empty: none is. */
  constructor(routing: Routing, topics: readonly string[], eventsMax: number) {
    this.#routing = routing;
    this.#topics = topics;
    this.#eventsMax = eventsMax;
  }

  get looks(): number {
    return this.#looks;
  }

  get isFull(): boolean {
    return this.#rows.size >= this.#eventsMax;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Rows beyond the bound are not taken up: what is known already must be followed to its end. */
  add(rows: readonly WitnessedRow[]): void {
    for (const row of rows) {
      if (this.#rows.has(row.eventId) || this.isFull) continue;
      const destination = topicOf(row, this.#routing);
      this.#destinations.add(destination);
      if (this.#topics.length > 0 && !this.#topics.includes(destination)) continue;
      this.#rows.set(row.eventId, { ...row, destination, isEarly: this.#looks === 0 });
    }
    this.#looks += 1;
  }

  all(): readonly SeenRow[] {
    return [...this.#rows.values()];
  }

  /** Where the rows are bound, also those that were passed over. */
  destinations(): ReadonlySet<string> {
    return this.#destinations;
  }
}

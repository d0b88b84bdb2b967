/** The rows that the looks of an audit have seen, each once, up to a bound. */
import { type Routing, topicOf } from "../event/message.ts";
import type { WitnessedRow } from "../outbox/witness.ts";
import type { SeenRow } from "./custody.ts";

export class Sightings {
  readonly #routing: Routing;
  readonly #eventsMax: number;
  readonly #rows = new Map<string, SeenRow>();
  #looks = 0;

  constructor(routing: Routing, eventsMax: number) {
    this.#routing = routing;
    this.#eventsMax = eventsMax;
  }

  get looks(): number {
    return this.#looks;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Rows beyond the bound are not taken up: what is known already must be followed to its end. */
  add(rows: readonly WitnessedRow[]): void {
    for (const row of rows) {
      if (this.#rows.has(row.eventId) || this.#rows.size >= this.#eventsMax) continue;
      const destination = topicOf(row, this.#routing);
      this.#rows.set(row.eventId, { ...row, destination, isEarly: this.#looks === 0 });
    }
    this.#looks += 1;
  }

  all(): readonly SeenRow[] {
    return [...this.#rows.values()];
  }

  destinations(): ReadonlySet<string> {
    return new Set([...this.#rows.values()].map(({ destination }) => destination));
  }
}

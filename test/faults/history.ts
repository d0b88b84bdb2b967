/**
 * The history of a run: what every writer meant to do and what became of it, what every relay said, and
 * what was done to them. One JSON object a line, in the order of time; never a payload.
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { systemClock } from "../../src/foundation/clock.ts";
import type { LogLine } from "../support/relay-process.ts";

export interface Entry {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
  readonly [field: string]: unknown;
}

export class History {
  readonly #entries: Entry[] = [];

  /** Returns the moment under which it was entered. */
  note(who: string, what: string, fields: Readonly<Record<string, unknown>> = {}): number {
    const atMs = systemClock.wallMs();
    this.#entries.push({ atMs, who, what, ...fields });
    return atMs;
  }

  /** Adds what a relay has logged; call it once for each relay, when it has ended. */
  hear(who: string, lines: readonly LogLine[]): void {
    for (const { level, event, time, service, version, instance, pid, ...fields } of lines) {
      const atMs = typeof time === "string" ? Date.parse(time) : systemClock.wallMs();
      this.#entries.push({ atMs, who, what: event ?? level, ...fields });
    }
  }

  faults(): readonly Entry[] {
    return this.#entries.filter(({ who }) => who === "fault");
  }

  /** The events whose commit was answered for, or whose answer was lost, up to a moment. */
  promised(untilMs: number): string[] {
    return this.#entries
      .filter(({ atMs, what }) => atMs <= untilMs && (what === "ok" || what === "info"))
      .flatMap(({ eventIds }) => eventIds as string[]);
  }

  async write(path: string): Promise<void> {
    const file = createWriteStream(path);
    for (const entry of [...this.#entries].sort((a, b) => a.atMs - b.atMs)) {
      if (!file.write(`${JSON.stringify(entry)}\n`)) await once(file, "drain");
    }
    file.end();
    await once(file, "close");
  }
}

/**
 * Says how far the demo is: one line rewritten on a terminal, a plain line every few seconds where
 * the output goes to a file or a build log. `NO_COLOR` is honoured.
 */
import type { Clock } from "../../foundation/clock.ts";
import { coloured, type Palette, plain, progressLine } from "./rendering.ts";

const terminalEveryMs = 200;
const plainEveryMs = 3_000;
const ratesMax = 24;
const plainColumns = 200;
const terminalColumns = 80;

export interface Counted {
  readonly committed: number;
  readonly published: number;
}

export class Progress {
  readonly palette: Palette;
  readonly #stream: NodeJS.WriteStream;
  readonly #clock: Clock;
  #hasOpenLine = false;

  constructor(stream: NodeJS.WriteStream, clock: Clock, environment: NodeJS.ProcessEnv) {
    this.#stream = stream;
    this.#clock = clock;
    const isColourless = (environment.NO_COLOR ?? "") !== "" || environment.TERM === "dumb";
    this.palette = isTerminal(stream) && !isColourless ? coloured : plain;
  }

  /** A line of its own that stays. */
  say(text: string): void {
    this.#clearLine();
    this.#stream.write(`${text}\n`);
  }

  /** Shows `read()` again and again until the signal fires. */
  async follow(read: () => Counted, signal: AbortSignal): Promise<void> {
    const everyMs = isTerminal(this.#stream) ? terminalEveryMs : plainEveryMs;
    // Named one by one: a spread would lose what `read` answers by getters.
    const take = () => {
      const { committed, published } = read();
      return { committed, published, atMs: this.#clock.monotonicMs() };
    };
    const history = [take()];
    const rates: number[] = [];
    while (!signal.aborted) {
      await this.#clock.sleep(everyMs, signal);
      if (signal.aborted) break;
      const now = take();
      // About one second back, so that the rate does not flicker.
      const before = history[Math.max(0, history.length - Math.ceil(1_000 / everyMs))] ?? now;
      history.push(now);
      if (history.length > ratesMax) history.shift();
      const elapsedMs = Math.max(1, now.atMs - before.atMs);
      const eventsPerSecond = ((now.published - before.published) * 1_000) / elapsedMs;
      rates.push(eventsPerSecond);
      if (rates.length > ratesMax) rates.shift();
      this.#show(progressLine({ ...now, eventsPerSecond, rates }, columnsOf(this.#stream)));
    }
    this.#clearLine();
  }

  #show(line: string): void {
    if (!isTerminal(this.#stream)) {
      this.#stream.write(`  ${line}\n`);
      return;
    }
    this.#clearLine();
    this.#stream.write(line);
    this.#hasOpenLine = true;
  }

  #clearLine(): void {
    if (!this.#hasOpenLine) return;
    this.#stream.write("\r\u001b[2K");
    this.#hasOpenLine = false;
  }
}

function isTerminal(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true;
}

function columnsOf(stream: NodeJS.WriteStream): number {
  if (!isTerminal(stream)) return plainColumns;
  // A terminal that does not know its width says 0.
  return stream.columns > 0 ? stream.columns : terminalColumns;
}

/**
 * A page that is rewritten in place: on the terminal's second screen, with the cursor hidden, and both
 * given back at the end however it comes. Where there is no terminal, one page follows the other.
 */

export interface PageStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const csi = "\u001b[";
const enter = `${csi}?1049h${csi}?25l`;
const leave = `${csi}?25h${csi}?1049l`;
const clearLine = `${csi}K`;
const clearBelow = `${csi}J`;
const home = `${csi}H`;
/** Where nothing wraps because nobody looks. */
const columnsElsewhere = 120;

export class Screen {
  readonly #stream: PageStream;
  #isOpen = false;

  constructor(stream: PageStream) {
    this.#stream = stream;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  get columns(): number {
    // A terminal that nobody has told its size says 0.
    return this.#stream.columns || columnsElsewhere;
  }

  get rows(): number {
    return this.isTerminal ? this.#stream.rows || 24 : Number.MAX_SAFE_INTEGER;
  }

  /** A page that stays where it is written. */
  print(page: string): void {
    this.#stream.write(`${page}\n`);
  }

  show(page: string): void {
    if (!this.isTerminal) {
      this.print(`${page}\n`);
      return;
    }
    if (!this.#isOpen) this.#stream.write(enter);
    this.#isOpen = true;
    const lines = page.split("\n").map((line) => `${line}${clearLine}`);
    this.#stream.write(`${home}${lines.join("\r\n")}${clearBelow}`);
  }

  /** Idempotent. */
  close(): void {
    if (this.#isOpen) this.#stream.write(leave);
    this.#isOpen = false;
  }
}

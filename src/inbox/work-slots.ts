/** How many handlers run at once, over all partitions of a consumer; whoever asks first goes first. */
export class WorkSlots {
  readonly #max: number;
  readonly #onFree: () => void;
  readonly #queue: (() => Promise<void>)[] = [];
  #head = 0;
  #busyCount = 0;

  /** `onFree` is called whenever a job has ended. */
  constructor(max: number, onFree: () => void) {
    this.#max = max;
    this.#onFree = onFree;
  }

  get busyCount(): number {
    return this.#busyCount;
  }

  /** The job must not reject. */
  add(job: () => Promise<void>): void {
    this.#queue.push(job);
    this.#fill();
  }

  #fill(): void {
    while (this.#busyCount < this.#max) {
      const job = this.#queue[this.#head];
      if (job === undefined) return;
      this.#advance();
      this.#busyCount += 1;
      void job().finally(() => {
        this.#busyCount -= 1;
        this.#fill();
        this.#onFree();
      });
    }
  }

  /** Cuts the head off in large pieces: `shift` on a long queue moves all of it. */
  #advance(): void {
    this.#head += 1;
    if (this.#head < 1_024 && this.#head < this.#queue.length) return;
    this.#queue.splice(0, this.#head);
    this.#head = 0;
  }
}

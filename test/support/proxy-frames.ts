/** Cuts a byte stream into the messages of a protocol. */

/** How long the message at the start of `bytes` is; undefined while too little of it is there to say. */
export type LengthOf = (bytes: Buffer) => number | undefined;

export class Frames {
  #rest: Buffer = Buffer.alloc(0);
  readonly #lengthOf: LengthOf;

  constructor(lengthOf: LengthOf) {
    this.#lengthOf = lengthOf;
  }

  /** The messages that are complete with this chunk. */
  take(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole: Buffer[] = [];
    for (;;) {
      const length = this.#lengthOf(this.#rest);
      if (length === undefined || this.#rest.length < length) return whole;
      whole.push(this.#rest.subarray(0, length));
      this.#rest = this.#rest.subarray(length);
    }
  }
}

/** Kafka, both ways: the size in four bytes, then as many. */
export const kafkaLength: LengthOf = (bytes) => (bytes.length < 4 ? undefined : 4 + bytes.readInt32BE(0));

/** PostgreSQL: a letter, then the size (which counts itself) in four bytes. */
export const postgresLength: LengthOf = (bytes) => (bytes.length < 5 ? undefined : 1 + bytes.readInt32BE(1));

/** PostgreSQL, before the session has begun: no letter. */
export const postgresStartLength: LengthOf = (bytes) => (bytes.length < 4 ? undefined : bytes.readInt32BE(0));

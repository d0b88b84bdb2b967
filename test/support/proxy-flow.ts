/** One direction of one connection through the proxy: a queue that can be delayed, held and muted. */
import type { Socket } from "node:net";

/** Bytes behind a closed gate wait, and everything after them. */
export interface Gate {
  isOpen: boolean;
}

/** What the direction suffers; shared by all connections of a proxy and changed while they live. */
export interface Weather {
  delayMs: number;
  /** Nothing passes, and nobody is told; what was sent passes when it ends, as TCP would resend it. */
  isBlackHole: boolean;
}

interface Piece {
  /** Null is the end of the stream. */
  readonly bytes: Buffer | null;
  readonly dueMs: number;
  readonly gate: Gate | undefined;
}

export class Flow {
  readonly #destination: Socket;
  readonly #weather: Weather;
  readonly #queue: Piece[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isMute = false;

  constructor(source: Socket, destination: Socket, weather: Weather, inspect: (chunk: Buffer) => void) {
    this.#destination = destination;
    this.#weather = weather;
    source.on("data", inspect);
    source.on("end", () => this.#push({ bytes: null, gate: undefined }));
    source.on("close", () => clearTimeout(this.#timer));
  }

  send(bytes: Buffer, gate?: Gate): void {
    this.#push({ bytes, gate });
  }

  /** From now on everything is dropped; the connection stays open. */
  mute(): void {
    this.#isMute = true;
  }

  /** Passes on what may pass by now; to be called when the weather or a gate has changed. */
  drain(): void {
    clearTimeout(this.#timer);
    for (let piece = this.#queue[0]; piece !== undefined; piece = this.#queue[0]) {
      if (this.#weather.isBlackHole || piece.gate?.isOpen === false) return;
      const waitMs = piece.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.drain(), Math.ceil(waitMs));
        return;
      }
      this.#queue.shift();
      if (this.#destination.destroyed) continue;
      if (piece.bytes === null) this.#destination.end();
      else this.#destination.write(piece.bytes);
    }
  }

  #push(piece: Omit<Piece, "dueMs">): void {
    if (this.#isMute) return;
    this.#queue.push({ ...piece, dueMs: performance.now() + this.#weather.delayMs });
    this.drain();
  }
}

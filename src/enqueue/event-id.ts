/**
 * UUIDv7, strictly increasing within one process: milliseconds, a 12-bit counter that starts in its
 * lower half each millisecond, 62 random bits. When the counter is full, or the clock steps back,
 * the milliseconds run ahead of the clock instead of repeating. Increasing ids keep the primary key's
 * index compact; nothing in Outrider reads an order out of them.
 */
import { randomBytes } from "node:crypto";
import { type Clock, systemClock } from "../foundation/clock.ts";

const counterMax = 0xfff;

export function makeEventIds(clock: Pick<Clock, "wallMs">): () => string {
  let ms = 0;
  let counter = 0;
  return () => {
    const now = clock.wallMs();
    const random = randomBytes(10);
    if (now > ms) {
      ms = now;
      counter = random.readUInt16BE(8) & 0x7ff;
    } else if (counter < counterMax) {
      counter += 1;
    } else {
      ms += 1;
      counter = 0;
    }
    random.writeUInt8((random.readUInt8(0) & 0x3f) | 0x80, 0);
    const head = ms.toString(16).padStart(12, "0");
    const middle = `7${counter.toString(16).padStart(3, "0")}`;
    const tail = random.toString("hex", 0, 8);
    return `${head.slice(0, 8)}-${head.slice(8)}-${middle}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
}

export const newEventId = makeEventIds(systemClock);

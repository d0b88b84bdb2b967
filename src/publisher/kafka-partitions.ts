/**
 * Which partition an aggregate lives in: `murmur2(key) mod count`, as Kafka's Java clients and kafkajs
 * compute it, so that other writers of the same topic agree.
 *
 * The count is pinned at the first sight of a topic, for the life of the process. A topic that grows
 * would otherwise move its aggregates, and two halves of an aggregate's events in two partitions have
 * no order. After a restart the new count is taken: drain the outbox before a topic is grown.
 */

const seed = 0x9747b28c;
const mixer = 0x5bd1e995;

let scratch = Buffer.allocUnsafe(4_096);

/** 32-bit murmur2 of the UTF-8 bytes, signed, equal to Kafka's `Utils.murmur2`. */
export function murmur2(key: string): number {
  // Three bytes a UTF-16 unit is the worst case; one buffer for all keys spares an allocation each.
  if (key.length * 3 > scratch.length) scratch = Buffer.allocUnsafe(key.length * 6);
  const bytes = scratch;
  const length = bytes.write(key);
  let h = seed ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let k = Math.imul(bytes.readInt32LE(i), mixer);
    k ^= k >>> 24;
    h = Math.imul(h, mixer) ^ Math.imul(k, mixer);
  }
  if (length > whole) {
    h = Math.imul(h ^ bytes.readUIntLE(whole, length - whole), mixer);
  }
  h ^= h >>> 13;
  h = Math.imul(h, mixer);
  return h ^ (h >>> 15);
}

/** The partition of a key, 0 to `count - 1`. */
export function partitionOf(key: string, count: number): number {
  return (murmur2(key) & 0x7fffffff) % count;
}

/** What became of a topic's count since it was pinned. */
export type CountChange = "first-seen" | "unchanged" | "grown" | "shrunk";

export class PinnedCounts {
  readonly #pinned = new Map<string, number>();
  readonly #grown = new Map<string, number>();

  countOf(topic: string): number | undefined {
    return this.#pinned.get(topic);
  }

  /**
   * Takes note of the count just seen. A smaller one means that the topic was deleted and made anew:
   * its old partitions are gone, so the new count is pinned. Growth is answered once per new count.
   */
  note(topic: string, count: number): CountChange {
    const pinned = this.#pinned.get(topic);
    if (pinned === undefined || count < pinned) {
      this.#pinned.set(topic, count);
      return pinned === undefined ? "first-seen" : "shrunk";
    }
    if (count === pinned || this.#grown.get(topic) === count) return "unchanged";
    this.#grown.set(topic, count);
    return "grown";
  }
}

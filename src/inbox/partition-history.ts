/**
 * What this process knows of a partition beyond one assignment. kafkajs gives up all its positions at
 * every rebalance and reads on from the committed offsets, also where the partition stays with the same
 * member; so what was done above the committed offset comes again, and what still runs comes a second
 * time beside itself. This remembers both, for as long as the partition stays.
 */
export class PartitionHistory {
  /** By lane: the run that has not ended, perhaps begun before the last rebalance. */
  readonly running = new Map<string, Promise<void>>();
  /** Offset → event id: an offset alone would say nothing about a topic that was deleted and made anew. */
  readonly #done = new Map<string, string>();

  remember(offset: string, eventId: string): void {
    this.#done.set(offset, eventId);
  }

  wasDone(offset: string, eventId: string): boolean {
    return this.#done.get(offset) === eventId;
  }

  forgetBelow(lowWater: bigint): void {
    for (const offset of this.#done.keys()) if (BigInt(offset) < lowWater) this.#done.delete(offset);
  }

  forgetDone(): void {
    this.#done.clear();
  }
}

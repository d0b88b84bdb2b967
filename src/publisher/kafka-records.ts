/**
 * Which records of a fetched piece of a partition may be seen. Pure.
 *
 * kafkajs has a filter of its own, but it takes up one aborted transaction a record: a piece that begins
 * inside of two of them shows records of the second, as if they had been committed. An audit would
 * then find an event that no consumer ever sees.
 */
import type { FetchedPartition, FetchedRecord } from "./kafkajs-cluster.ts";
import type { Isolation, TopicRecord } from "./topic-reader.ts";

export function visibleRecords(piece: FetchedPartition, isolation: Isolation): TopicRecord[] {
  const isAborted = isolation === "read_committed" ? abortionsOf(piece) : () => false;
  return piece.messages
    .filter((record) => !isAborted(record) && !record.isControlRecord)
    .map(({ offset, key, headers }) => ({
      offset: Number(offset),
      key: key === null ? null : key.toString(),
      eventId: textOf(headers.event_id),
      createdAt: textOf(headers.created_at),
    }));
}

/** To be asked record by record, in their order. */
function abortionsOf({ abortedTransactions }: FetchedPartition): (record: FetchedRecord) => boolean {
  const coming = [...(abortedTransactions ?? [])].sort(
    (a, b) => Number(a.firstOffset) - Number(b.firstOffset),
  );
  const aborted = new Set<string>();
  return ({ offset, isControlRecord, batchContext: { producerId, inTransaction } }) => {
    while (coming[0] !== undefined && Number(coming[0].firstOffset) <= Number(offset)) {
      aborted.add(coming[0].producerId);
      coming.shift();
    }
    // The end of a transaction, whatever its outcome: the next one of this producer is listed by itself.
    if (isControlRecord) aborted.delete(producerId);
    return inTransaction && aborted.has(producerId);
  };
}

/** A header that was given several times counts with its last value, as in Kafka's own clients. */
function textOf(value: Buffer | null | undefined | readonly (Buffer | null)[]): string | null {
  const last = value instanceof Buffer || value === null || value === undefined ? value : value.at(-1);
  return last === null || last === undefined ? null : last.toString();
}

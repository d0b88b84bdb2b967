/**
 * The records of a partition whose fate is decided, whatever lies before them. A consumer of committed
 * records stops at the first transaction that is still open; what others have committed behind it is
 * there all the same, and the markers in the log say so.
 */

/** A record as kafkajs decodes it, markers included. */
export interface LoggedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  /** A marker: the end of a transaction of this producer, not a record. */
  readonly isControlRecord?: boolean;
  readonly batchContext?: { readonly producerId: string; readonly inTransaction: boolean };
}

/** The type of a marker stands behind its version: 1 is a commit. */
const isCommit = ({ key }: LoggedRecord): boolean => key !== null && Buffer.from(key).readInt16BE(2) === 1;

/** Plain records and those of committed transactions, in the order of their offsets. */
export function decidedRecords<R extends LoggedRecord>(log: readonly R[]): R[] {
  const open = new Map<string, R[]>();
  const decided: R[] = [];
  for (const record of log) {
    const producer = record.batchContext?.producerId ?? "";
    if (record.isControlRecord === true) {
      if (isCommit(record)) for (const committed of open.get(producer) ?? []) decided.push(committed);
      open.delete(producer);
    } else if (record.batchContext?.inTransaction === true) {
      const pending = open.get(producer);
      if (pending === undefined) open.set(producer, [record]);
      else pending.push(record);
    } else decided.push(record);
  }
  return decided.sort((a, b) => Number(a.offset) - Number(b.offset));
}

/** Applications: transactions that insert, stay open, and end one way or another. */
import { isoOfMicros } from "../../src/event/position.ts";
import type { Watch } from "./laws.ts";
import type { ModelDatabase, Row, WriterTransaction } from "./model-database.ts";
import type { TransactionPlan } from "./scenario.ts";
import type { VirtualTime } from "./virtual-time.ts";

const mendUs = 60_000;
/** Between the lock on the table and the row: a trigger may be slow, and a process may be stopped there. */
const lockLeadUsMax = 4_000;

/** Begins now; everything else comes in its time. */
export function write(plan: TransactionPlan, time: VirtualTime, database: ModelDatabase, watch: Watch): void {
  const writer = database.begin();
  let us = 0;
  for (const { gapUs, aggregate, fault, isBackdated } of plan.rows) {
    us += gapUs;
    time.after(us - Math.min(gapUs, lockLeadUsMax), () => database.lock(writer));
    time.after(us, () => {
      const row = database.insert(writer, {
        aggregateId: `order-${aggregate}`,
        ...(fault === "none" ? undefined : { topic: "no such topic" }),
        ...(isBackdated ? { createdAt: isoOfMicros(database.clock - 100_000) } : undefined),
      });
      if (fault !== "none") time.after(plan.holdUs + us + mendUs, () => mend(row, fault, database, watch));
    });
  }
  time.after(us + plan.holdUs, () => end(writer, plan, time, database));
}

function end(
  writer: WriterTransaction,
  { end: how, holdUs }: TransactionPlan,
  time: VirtualTime,
  database: ModelDatabase,
): void {
  if (how === "roll back") database.rollback(writer);
  else if (how === "commit") database.commit(writer);
  else {
    database.prepare(writer);
    time.after(holdUs, () => database.commit(writer));
  }
}

/** Somebody looks after the row that cannot be published. */
function mend(row: Row, how: "repaired" | "discarded", database: ModelDatabase, watch: Watch): void {
  if (how === "repaired") database.repair(row);
  else if (database.discard(row)) watch.discarded(row);
}

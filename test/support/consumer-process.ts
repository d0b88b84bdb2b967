/**
 * A member in a process of its own, to be killed: it prints the id of every event whose work is done.
 * `LEDGER=eager` is the broken twin: it commits what was fetched, not what is done.
 */
import { writeSync } from "node:fs";
import { systemClock } from "../../src/foundation/clock.ts";
import { OffsetLedger } from "../../src/inbox/offset-ledger.ts";
import { GroupLog, makeMember } from "./group-members.ts";

class EagerLedger extends OffsetLedger {
  override get lowWater(): bigint | undefined {
    return this.next;
  }
}

const { BROKERS = "", GROUP = "", TOPIC = "", LEDGER } = process.env;
const member = makeMember({
  brokers: BROKERS,
  groupId: GROUP,
  topic: TOPIC,
  log: new GroupLog(),
  name: String(process.pid),
  commitIntervalMs: 10,
  work: async ({ eventId, aggregateId }) => {
    await systemClock.sleep(Math.random() * 20);
    // At once: a buffered line would be lost with the process, and the event would seem undone.
    writeSync(1, `${eventId} ${aggregateId}\n`);
  },
  internals: LEDGER === "eager" ? { makeLedger: () => new EagerLedger() } : {},
});
process.once("SIGTERM", () => void member.stop());
await member.start();
await member.finished;

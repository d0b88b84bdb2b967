/** What relays must leave behind when they have ended: free leases, and a log that gives nothing away. */
import type pg from "pg";
import type { Member } from "./crew.ts";
import { leaseViolations } from "./lease-log.ts";

/** I13, and that no shard was ever held twice. */
export async function leaseFaults(client: pg.Client, mayBeHeld: boolean): Promise<string[]> {
  const faults = (await leaseViolations(client)).map((sentence) => `leases: ${sentence}`);
  const { rows } = await client.query("select from outrider_shard_leases where holder is not null");
  if (rows.length > 0 && !mayBeHeld) faults.push(`I13: ${rows.length} leases were not handed back`);
  return faults;
}

/** I14: no relay ever says a payload or the password. */
export function secretFaults(members: readonly Member[], canary: string, url: string): string[] {
  const secrets = [canary, decodeURIComponent(new URL(url).password)].filter((text) => text !== "");
  return members.flatMap(({ name, process }) => {
    const all = JSON.stringify(process.lines) + process.stderr;
    const isToldOn = secrets.some((secret) => all.includes(secret));
    return isToldOn ? [`I14: ${name} has written a payload or a password to its log`] : [];
  });
}

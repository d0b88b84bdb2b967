/** At-most-once: what was lost, against what the relays have said of it. */
import type { Member } from "./crew.ts";
import type { Audited, Recorded } from "./judge.ts";

export interface Losses {
  /** Committed, and nowhere in the topic. */
  readonly missing: number;
  /** Named by a relay as dropped or in doubt. */
  readonly reported: number;
  /** Of those, the ones that are in the topic after all. */
  readonly arrived: number;
  /** What the checker may find missing: it is all reported, or a violation here. */
  readonly bounds: { readonly missingMax: number };
  readonly violations: readonly string[];
  readonly note: string;
}

export function lossesOf(
  audited: readonly Audited[],
  records: readonly Recorded[],
  members: readonly Pick<Member, "process">[],
): Losses {
  const there = new Set(records.map(({ eventId }) => eventId));
  const committed = audited.map(({ eventId }) => eventId);
  const reported = new Set(
    members.flatMap(({ process }) =>
      process.lines
        .filter(({ event }) => event === "batch-in-doubt" || event === "events-dropped")
        .flatMap(({ eventIds }) => eventIds as string[]),
    ),
  );
  const missing = committed.filter((eventId) => !there.has(eventId));
  const silent = missing.filter((eventId) => !reported.has(eventId));
  const arrived = [...reported].filter((eventId) => there.has(eventId)).length;
  return {
    missing: missing.length,
    reported: reported.size,
    arrived,
    bounds: { missingMax: missing.length },
    violations:
      silent.length === 0
        ? []
        : [`I1: ${silent.length} events were lost and no relay has reported them, such as ${silent[0]}`],
    note: `${missing.length} lost, ${reported.size} reported as dropped or in doubt, ${arrived} of these arrived after all`,
  };
}

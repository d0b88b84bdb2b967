/** The pages of the benchmarks that are about what grows. Pure. */

import { median, rounded } from "../../src/foundation/figures.ts";
import { type BloatBench, bloatSides, growthOf } from "./bloat.ts";
import { type LookBench, lookSides } from "./look.ts";
import { barOf, type Presentation, spread } from "./pages.ts";
import type { ScaleBench } from "./scale.ts";

export function presentScale({ cases, rounds }: ScaleBench): Presentation {
  const bars = cases.map(({ name, costToPlain }) => ({
    label: name,
    value: costToPlain,
    min: costToPlain,
    max: costToPlain,
  }));
  return {
    page: {
      title: "What an event costs as things grow",
      method: `Backlogs drained by relays at their defaults, each case beside the plain one (1,000 aggregates, one relay), ${rounds} rounds. The cost is processor time of relay and PostgreSQL together for an event, starts included: that weighs most where there are few events. Memory is the largest relay's at its highest.`,
      plots: ["scale"],
      tables: [
        {
          caption: "Medians; processor time in microseconds an event.",
          head: ["", "events", "bytes", "events/s", "relay", "PostgreSQL", "Kafka", "cost by plain", "MB"],
          rows: cases.map((one) => [
            one.name,
            one.backlog.events,
            one.backlog.payloadBytes,
            one.eventsPerSecond,
            one.microsPerEvent.relay,
            one.microsPerEvent.postgres,
            one.microsPerEvent.kafka,
            one.costToPlain,
            one.peakMegabytes,
          ]),
        },
      ],
    },
    plots: {
      scale: {
        title: "Cost of an event",
        unit: "by the plain case",
        groups: bars.map((bar) => ({ label: "", bars: [bar] })),
      },
    },
  };
}

export function presentBloat({
  figures,
  seconds,
  eventsPerSecond,
  backlog,
  paceRatio,
  rounds,
}: BloatBench): Presentation {
  const middle = (values: readonly number[], digits = 0) => rounded(median(values), digits);
  return {
    page: {
      title: "With an old snapshot held open",
      method: `${eventsPerSecond} events a second for ${seconds} s, with a snapshot from before them held open (*held*: nothing that is deleted meanwhile may be removed) and without (*free*); then a backlog of ${backlog} events on top of the dead rows, the snapshot still held. ${rounds} rounds. A poll is the relay's claim with cursors a second old; the ratio of the backlog's pace, held to free, is ${spread(paceRatio)}.`,
      plots: ["bloat"],
      tables: [
        {
          caption: "Medians of the rounds:",
          head: [
            "",
            "p50, ms",
            "p99, ms",
            "buffers a poll, first to last",
            "growth",
            "dead rows",
            "backlog, events/s",
          ],
          rows: bloatSides.map((side) => {
            const all = figures[side];
            return [
              side,
              middle(
                all.map(({ ms }) => ms.p50),
                1,
              ),
              middle(
                all.map(({ ms }) => ms.p99),
                1,
              ),
              (all[0]?.buffersAPoll ?? []).join(" "),
              middle(all.map(growthOf), 2),
              middle(all.map(({ deadRows }) => deadRows)),
              middle(all.map((one) => one.eventsPerSecond)),
            ];
          }),
        },
      ],
    },
    plots: {
      bloat: {
        title: "Buffers a poll over time",
        unit: "buffers",
        groups: bloatSides.map((side) => ({
          label: side,
          bars: (figures[side][0]?.buffersAPoll ?? []).map((value, at) => ({
            label: String(at + 1),
            value,
            min: value,
            max: value,
          })),
        })),
      },
    },
  };
}

export function presentLook({ figures, looks, rounds }: LookBench): Presentation {
  return {
    page: {
      title: "What a look of the fence costs",
      method: `Processor time of PostgreSQL for a look at who is writing, by \`max_connections\`, with nobody connected but the relay's own session; \`max_locks_per_transaction\` as PostgreSQL has it. *poll* is a look and a claim of an empty outbox, in one message; *unchanged* the same where nothing was written since the last one; *nothing* is \`select 1\` in the same session. ${rounds} rounds of ${looks} each.`,
      plots: ["look"],
      tables: [
        {
          caption: "Microseconds each:",
          head: ["max_connections", ...lookSides],
          rows: figures.map(({ maxConnections, cpuMicros }) => [
            maxConnections,
            ...lookSides.map((side) => spread(cpuMicros[side])),
          ]),
        },
      ],
    },
    plots: {
      look: {
        title: "A look of the fence",
        unit: "microseconds of PostgreSQL's processor time",
        groups: figures.map(({ maxConnections, cpuMicros }) => ({
          label: String(maxConnections),
          bars: lookSides.map((side) => barOf(side, cpuMicros[side])),
        })),
      },
    },
  };
}

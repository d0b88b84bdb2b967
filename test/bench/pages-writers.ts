/** The pages of the benchmarks that are about those who write. Pure. */
import { spreadOf } from "../../src/foundation/figures.ts";
import { type OpenWritersBench, openWriterSides } from "./open-writers.ts";
import { type Presentation, quantileHead, quantileKeys, spread } from "./pages.ts";
import { type WritersBench, writerSides } from "./writers.ts";

export function presentOpenWriters(figures: OpenWritersBench): Presentation {
  const { holding, untouchedMs, held } = figures;
  const across = (side: (typeof openWriterSides)[number], key: (typeof quantileKeys)[number]) =>
    spreadOf(
      untouchedMs[side].map((one) => one[key]),
      1,
    );
  const groups = (["p50", "p95", "p99"] as const).map((key) => ({
    label: key,
    bars: openWriterSides.map((side) => {
      const { median, min, max } = across(side, key);
      return { label: side, value: median, min, max };
    }),
  }));
  return {
    page: {
      title: "Beside transactions that stay open",
      method: `${holding.writers} writers insert one event each into one of ${holding.aggregates} aggregates and hold their transactions open for ${holding.holdMs} ms in the mean, again and again. Measured are the events of others, ${figures.eventsPerSecond} a second in transactions of ${figures.eventsPerTransaction}, of aggregates that none of those touches; ${figures.rounds} rounds, turn by turn. *narrowed* is the relay on an outbox with \`migrate --narrow-fence\`; *loop* is what is written in an afternoon, which waits for nobody.`,
      plots: ["open-writers"],
      tables: [
        {
          caption:
            "Events of aggregates that no open transaction touches, milliseconds from commit to consumer:",
          head: ["", ...quantileHead],
          rows: openWriterSides.map((side) => [
            side,
            ...quantileKeys.map((key) => spread(across(side, key))),
          ]),
        },
        {
          caption: "Events of the transactions that were held open, all rounds:",
          head: ["", "events", "out of order", "missing", "doubled"],
          rows: openWriterSides.map((side) => {
            const { events, inversions, missing, duplicates } = held[side];
            return [side, events, inversions, missing, duplicates];
          }),
        },
      ],
    },
    plots: {
      "open-writers": { title: "Beside transactions that stay open", unit: "milliseconds", groups },
    },
  };
}

export function presentWriters({ cases, rounds }: WritersBench): Presentation {
  const groups = cases.map(({ eventsPerTransaction, cpuMicrosPerTransaction }) => ({
    label: `${eventsPerTransaction} event(s)`,
    bars: writerSides.map((side) => {
      const { median, min, max } = cpuMicrosPerTransaction[side];
      return { label: side, value: median, min, max };
    }),
  }));
  return {
    page: {
      title: "What an event costs its writer",
      method: `The same transaction (one row updated, one inserted) with nothing, with events in a bare table of the four columns (primary key, index on \`created_at\`), in Outrider's, and in Outrider's with \`migrate --narrow-fence\`; one connection, ${rounds} rounds, turn by turn. The ratio compares what is left when the transaction without an event is taken off.`,
      plots: ["writers"],
      tables: cases.map(({ eventsPerTransaction, cpuMicrosPerTransaction, transactionMs, toBare }) => ({
        caption: `${eventsPerTransaction} event(s) a transaction; PostgreSQL's processor time and the client's time for each transaction:`,
        head: ["", "processor, µs", "time, ms", "events by those of the bare table"],
        rows: writerSides.map((side) => [
          side,
          spread(cpuMicrosPerTransaction[side]),
          spread(transactionMs[side]),
          side === "none" ? "" : side === "bare" ? "1" : spread(toBare[side]),
        ]),
      })),
    },
    plots: { writers: { title: "A transaction and its events", unit: "µs of processor", groups } },
  };
}

/**
 * What an event costs as things grow: the backlog, the number of aggregates, the payload, one aggregate with half
 * of all events, the number of relays. Each case is held against the same plain one, turn by turn.
 */
import { median, rounded } from "../../src/foundation/figures.ts";
import type { BenchOptions } from "./options.ts";
import { type DrainFigures, drainWithRelay } from "./relay-run.ts";
import type { Backlog, Stage } from "./stage.ts";
import type { Say } from "./warm-up.ts";

export interface ScaleCase {
  readonly name: string;
  readonly backlog: Backlog;
  readonly relays: number;
}

export interface ScaleFigures extends ScaleCase {
  readonly eventsPerSecond: number;
  readonly microsPerEvent: DrainFigures["microsPerEvent"];
  /** Processor time of relay and PostgreSQL an event, by that of the plain case of the same round. */
  readonly costToPlain: number;
  readonly peakMegabytes: number;
}

export interface ScaleBench {
  readonly cases: readonly ScaleFigures[];
  readonly rounds: number;
}

/** Of a case with large payloads: so much in all, and no less than so many events. */
const bytesMax = 200_000_000;
const eventsMin = 1_000;

export function scaleCases({ events, backlogs, payloadBytes }: BenchOptions): readonly ScaleCase[] {
  const plain: Backlog = { events, aggregates: 1_000, payloadBytes };
  const one = (name: string, changed: Partial<Backlog>, relays = 1): ScaleCase => ({
    name,
    backlog: { ...plain, ...changed },
    relays,
  });
  const sized = (bytes: number) =>
    one(`payloads of ${bytes} bytes`, {
      payloadBytes: bytes,
      events: Math.max(eventsMin, Math.min(events, Math.floor(bytesMax / bytes))),
    });
  return [
    one("plain", {}),
    ...backlogs.map((size) => one(`backlog of ${size}`, { events: size })),
    ...[10, 100_000, 1_000_000].map((aggregates) => one(`${aggregates} aggregates`, { aggregates })),
    one("one aggregate with half of all", { isHot: true }),
    ...[100, 10_000, 100_000].map(sized),
    ...[2, 4].map((relays) => one(`${relays} relays`, {}, relays)),
  ];
}

export async function benchScale(stage: Stage, options: BenchOptions, say: Say): Promise<ScaleBench> {
  const cases = scaleCases(options).filter(({ name }) => isChosen(name, options.only));
  const plain = scaleCases(options)[0] as ScaleCase;
  const others = cases.filter(({ name }) => name !== plain.name);
  const plainTemplate = await stage.fill(plain.backlog);
  const drain = (template: string, { backlog, relays }: ScaleCase) =>
    stage.within(template, (place) =>
      drainWithRelay(stage, place, backlog, { delivery: "at-least-once", batchEventsMax: 2_000, relays }),
    );
  await drain(plainTemplate, plain);
  const plainRuns: DrainFigures[] = [];
  const figures: ScaleFigures[] = [];
  for (const one of others) {
    const template = await stage.fill(one.backlog);
    const runs: { readonly own: DrainFigures; readonly ratio: number }[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      const reference = await drain(plainTemplate, plain);
      const own = await drain(template, one);
      plainRuns.push(reference);
      runs.push({ own, ratio: costOf(own) / costOf(reference) });
    }
    await stage.drop(template);
    const summary = summarize(one, runs);
    figures.push(summary);
    say(
      `${one.name}: ${summary.eventsPerSecond} events/s, cost ${summary.costToPlain} of plain, ${summary.peakMegabytes} MB`,
    );
  }
  const base = summarize(
    plain,
    plainRuns.map((own) => ({ own, ratio: 1 })),
  );
  return { cases: [base, ...figures], rounds: options.rounds };
}

const isChosen = (name: string, only: readonly string[]) =>
  only.length === 0 || only.some((part) => name.includes(part));

const costOf = ({ microsPerEvent: { relay, postgres } }: DrainFigures): number => relay + postgres;

function summarize(
  one: ScaleCase,
  runs: readonly { readonly own: DrainFigures; readonly ratio: number }[],
): ScaleFigures {
  const middle = (pick: (figures: DrainFigures) => number, digits = 0) =>
    rounded(median(runs.map(({ own }) => pick(own))), digits);
  return {
    ...one,
    eventsPerSecond: middle((figures) => figures.eventsPerSecond),
    microsPerEvent: {
      relay: middle(({ microsPerEvent }) => microsPerEvent.relay, 1),
      postgres: middle(({ microsPerEvent }) => microsPerEvent.postgres, 1),
      kafka: middle(({ microsPerEvent }) => microsPerEvent.kafka, 1),
    },
    costToPlain: rounded(median(runs.map(({ ratio }) => ratio)), 2),
    peakMegabytes: Math.max(...runs.map(({ own }) => own.peakMegabytes)),
  };
}

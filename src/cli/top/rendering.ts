/** A sample as a page of text. Pure; colours are a parameter, and lines are cut to the terminal. */
import type { RelaySample, Sample, WriterSample } from "../../outbox/overview.ts";
import { type Palette, sparkline } from "../demo/rendering.ts";
import type { History, Rates } from "./rates.ts";

export interface View {
  readonly sample: Sample;
  readonly rates: Rates;
  readonly history: History;
  readonly schema: string;
  readonly intervalMs: number;
  /** Why there is nothing newer to show. */
  readonly trouble?: string;
}

const shardCount = 64;
const relaysShown = 12;
const writersShown = 5;
/** A backlog or a writer older than this is shown as trouble. Milliseconds. */
const oldMs = 60_000;

/** At most `columns` wide, so that no line wraps, and `rows` high, so that nothing scrolls. */
export function renderView(view: View, palette: Palette, columns: number, rows = 1_000): string {
  const lines = linesOf(view, columns).slice(0, rows);
  return lines
    .map(({ text, tone }) => paint(text.slice(0, Math.max(1, columns - 1)), tone, palette))
    .join("\n");
}

interface Line {
  readonly text: string;
  readonly tone?: "good" | "bad" | "faint";
}

function paint(text: string, tone: Line["tone"], palette: Palette): string {
  return tone === undefined ? text : palette[tone](text);
}

function linesOf(view: View, columns: number): Line[] {
  const { sample, schema, intervalMs, trouble } = view;
  const time = new Date(sample.clockMs).toISOString().slice(11, 19);
  return [
    {
      text: `outrider top  ${sample.database}/${schema}  ${time} UTC  every ${seconds(intervalMs)}`,
      tone: "faint",
    },
    ...(trouble === undefined ? [] : [{ text: `no newer figures: ${trouble}`, tone: "bad" } as const]),
    { text: "" },
    ...flowLines(view),
    shardLine(sample),
    { text: "" },
    ...relayLines(sample.relays, columns),
    ...blockedLines(sample),
    ...writerLines(sample.writers),
  ];
}

function flowLines({ sample, rates, history }: View): Line[] {
  const { events, isMore, oldestAgeMs } = sample.backlog;
  const age = oldestAgeMs === null ? "" : `, the oldest for ${seconds(oldestAgeMs)}`;
  const rate = (value: number | null) => (value === null ? "-" : `${number(value)}/s`).padStart(10);
  return [
    {
      text: `backlog   ${(isMore ? `>${number(events)}` : number(events)).padStart(10)}  ${sparkline(history.backlog)}${age}`,
      ...((oldestAgeMs ?? 0) > oldMs ? { tone: "bad" as const } : undefined),
    },
    { text: `written   ${rate(rates.writtenPerSecond)}  ${sparkline(history.written)}` },
    { text: `removed   ${rate(rates.removedPerSecond)}  ${sparkline(history.removed)}` },
  ];
}

function shardLine({ shardsFree, shardsExpired, relays }: Sample): Line {
  const owned = shardCount - shardsFree - shardsExpired;
  const live = relays.filter(({ expiresInMs }) => expiresInMs !== null).length;
  return {
    text: `shards    ${String(owned).padStart(10)}  owned by ${live} relay(s), ${shardsFree} free, ${shardsExpired} expired`,
    tone: owned === shardCount ? "good" : "bad",
  };
}

function relayLines(relays: readonly RelaySample[], columns: number): Line[] {
  const width = Math.max(20, Math.min(60, columns - 50));
  const lines = relays.slice(0, relaysShown).map(({ member, shards, expiresInMs }): Line => {
    const name = printable(member).slice(0, width).padEnd(width);
    const until = (expiresInMs === null ? "gone" : seconds(expiresInMs)).padStart(8);
    return { text: `  ${name} ${String(shards).padStart(3)} ${until}  ${"█".repeat(Math.ceil(shards / 4))}` };
  });
  if (relays.length > relaysShown) lines.push({ text: `  and ${relays.length - relaysShown} more` });
  if (lines.length > 0) lines.unshift({ text: `  ${"relay".padEnd(width)} has    lease`, tone: "faint" });
  return [...lines, { text: "" }];
}

function blockedLines({ blocked, deadLetters }: Sample): Line[] {
  const { aggregates, first } = blocked;
  return [
    {
      text: `blocked   ${number(aggregates).padStart(10)}  aggregate(s)`,
      ...(aggregates > 0 ? { tone: "bad" as const } : undefined),
    },
    ...first.map(
      ({ aggregateId, reason, attempts, sinceMs }): Line => ({
        // Quoted: an aggregate_id is the application's, and may hold what moves a cursor.
        text: `  ${JSON.stringify(printable(aggregateId).slice(0, 40))}  ${reason}, ${attempts} rejection(s) in ${seconds(sinceMs)}`,
      }),
    ),
    { text: `dead      ${number(deadLetters).padStart(10)}  event(s) given up` },
  ];
}

function writerLines(writers: readonly WriterSample[]): Line[] {
  const lines = writers.slice(0, writersShown).map(({ pid, application, openForMs }): Line => {
    const name = application === null || application === "" ? "" : ` (${printable(application)})`;
    const text = `  pid ${pid ?? "none (prepared)"}${name}, open for ${openForMs === null ? "an unknown time" : seconds(openForMs)}`;
    return openForMs === null || openForMs > oldMs ? { text, tone: "bad" } : { text };
  });
  return [
    { text: `writers   ${number(writers.length).padStart(10)}  open; the fence waits for them` },
    ...lines,
  ];
}

/** Without control characters, which a terminal would obey. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "·");
}

const number = (value: number) => Math.round(value).toLocaleString("en-US");

function seconds(ms: number): string {
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

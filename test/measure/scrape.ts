/**
 * What a scraper gets from a relay under load: how many series at the start and at the end, how large the
 * page is, how long it takes. More topics than a metric may have series, so that the bound is reached.
 */
import type pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { readExposition, sampleOf } from "../support/exposition.ts";
import { ObservedRelay } from "../support/observed-relay.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const topicCount = 130;
const eventsPerWrite = 400;
const writePauseMs = 200;
const scrapePauseMs = 5_000;

interface Scrape {
  readonly series: number;
  readonly bytes: number;
  readonly ms: number;
}

interface ScrapedParts {
  readonly url: string;
  readonly brokers: string;
  readonly client: pg.Client;
}

/** `minutes` from `--minutes`, one when it is left out. */
export async function measureScrape({ url, brokers, client }: ScrapedParts): Promise<object> {
  const minutes = minutesGiven();
  const prefix = uniqueTopic("scrape");
  const topics = Array.from({ length: topicCount }, (_, n) => `${prefix}-${n}`);
  await createTopics(
    brokers,
    topics.map((topic) => ({ topic })),
  );
  const relay = await ObservedRelay.start({ DATABASE_URL: url, KAFKA_BROKERS: brokers });
  await relay.process.heard("relay-started");
  const scrapes: Scrape[] = [await scrape(relay)];
  const endMs = systemClock.monotonicMs() + minutes * 60_000;
  const writing = write(client, prefix, endMs);
  while (systemClock.monotonicMs() < endMs) {
    await systemClock.sleep(scrapePauseMs);
    scrapes.push(await scrape(relay));
  }
  const written = await writing;
  await client.query("select pg_sleep(2)");
  const last = readExposition((await relay.read("/metrics")).body);
  const published = last.get("outrider_events_published_total")?.samples ?? [];
  await relay.process.end();
  const ms = scrapes.map((one) => one.ms).sort((a, b) => a - b);
  return {
    minutes,
    written,
    published: published.reduce((sum, { value }) => sum + value, 0),
    topics: topicCount,
    topicSeries: published.length,
    scrapes: scrapes.length,
    seriesAtStart: scrapes[0]?.series,
    seriesAfterTenSeconds: scrapes[2]?.series,
    seriesAtEnd: scrapes.at(-1)?.series,
    pageBytesAtEnd: scrapes.at(-1)?.bytes,
    scrapeMsMedian: Math.round((ms[ms.length >> 1] ?? 0) * 10) / 10,
    scrapeMsMax: Math.round((ms.at(-1) ?? 0) * 10) / 10,
    residentMegabytes: Math.round((sampleOf(last, "process_resident_memory_bytes") ?? 0) / 1_048_576),
    cpuSeconds: Math.round(
      (sampleOf(last, "process_cpu_user_seconds_total") ?? 0) +
        (sampleOf(last, "process_cpu_system_seconds_total") ?? 0),
    ),
  };
}

function minutesGiven(): number {
  const at = process.argv.indexOf("--minutes");
  const minutes = at === -1 ? 1 : Number(process.argv[at + 1]);
  if (!(minutes > 0)) throw new Error("--minutes needs a number above 0");
  return minutes;
}

async function scrape(relay: ObservedRelay): Promise<Scrape> {
  const startedMs = systemClock.monotonicMs();
  const { body } = await relay.read("/metrics");
  const ms = systemClock.monotonicMs() - startedMs;
  const families = readExposition(body);
  const series = [...families.values()].reduce((sum, { samples }) => sum + samples.length, 0);
  return { series, bytes: Buffer.byteLength(body), ms };
}

async function write(client: pg.Client, prefix: string, endMs: number): Promise<number> {
  let written = 0;
  while (systemClock.monotonicMs() < endMs) {
    await client.query(
      `insert into undispatched_events (aggregate_id, event_payload, topic)
       select 'aggregate-' || n % 200, '{"n": 1}', $1::text || '-' || (($2::int + n) % $3::int) from generate_series(1, $4::int) n`,
      [prefix, written, topicCount, eventsPerWrite],
    );
    written += eventsPerWrite;
    await systemClock.sleep(writePauseMs);
  }
  return written;
}

/**
 * Audits a running system from outside: looks at the outbox again and again, then reads the ends of the
 * topics, and judges what it saw. It writes nothing, joins no consumer group and commits no offset; all it
 * reads is bounded.
 *
 *     look ─► ends of the topics ─► look, look, … ─► where is each row now? ─► read the topics ─► judge
 *
 * The order of these steps carries the judgement. What lies below the first ends was published when the
 * audit began; where it is in the outbox at the end as well, nobody has removed it all that time. A row that has left the outbox was published before, so the topics are read to an end
 * that is taken after the outbox was asked. Any other order would see rows that are merely on their way.
 *
 * What the audit cannot see: a row that was written and deleted between two looks; an event that the
 * relay of this outbox sends to a topic that is not audited; a record that compaction has removed.
 */
import type { Routing } from "../event/message.ts";
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { OutboxWitness, Place, Standing } from "../outbox/witness.ts";
import type { TopicReader } from "../publisher/topic-reader.ts";
import { type CustodyFindings, type Found, judgeCustody, type SeenRow } from "./custody.ts";
import { Sightings } from "./sightings.ts";
import { topicsOf } from "./topic-choice.ts";
import type { TopicFindings } from "./topic-findings.ts";
import { oldestOf, type Survey, type SurveyChoices, surveyTopic } from "./topic-survey.ts";

export interface AuditChoices extends SurveyChoices {
  /** Empty: they are derived. */
  readonly topics: readonly string[];
  readonly durationMs: number;
  /** Most rows to follow. */
  readonly eventsMax: number;
  readonly ageMaxMs: number;
}

export interface AuditParts {
  readonly witness: OutboxWitness;
  readonly reader: TopicReader;
  readonly routing: Routing;
  readonly clock: Clock;
  /** Told what is being done, for a person who waits. */
  readonly onProgress: (text: string) => void;
}

export interface AuditFindings {
  readonly topics: readonly TopicFindings[];
  readonly custody: CustodyFindings;
  readonly standing: Standing;
  /** Partitions whose ends open transactions hid from `read_committed`. */
  readonly hidden: number;
  /** Topics of waiting rows that are not audited: not chosen, not there, or not visible to this login. */
  readonly unread: readonly string[];
  /** Topics whose partition count changed during the audit. */
  readonly grown: readonly string[];
  readonly looks: number;
  readonly elapsedMs: number;
}

/** A look costs at most a twentieth of a connection. */
const lookPauseMs = 500;
const pausesPerLook = 19;
/** A look may use up an eighth of the bound, over both ends of 64 shards: those to come need their share. */
const rowsPerLookShare = 8 * 64 * 2;
const perShardMax = 200;
const countMax = 100_000;
const findMax = 5_000;

/** @throws OutriderError CONFIG_INVALID when no topic can be derived, and what witness and reader throw. */
export async function runAudit(parts: AuditParts, choices: AuditChoices): Promise<AuditFindings> {
  const { witness, reader, routing, clock, onProgress } = parts;
  const startedMs = clock.monotonicMs();
  await reader.connect();
  const sightings = new Sightings(routing, choices.topics, choices.eventsMax);
  const perShard = Math.min(perShardMax, Math.ceil(choices.eventsMax / rowsPerLookShare));
  sightings.add(await witness.sample(perShard));
  const before = await findTopics(parts, choices, sightings);
  const earlyEnds = await endsOf(reader, before);
  await lookOn(parts, choices, sightings, perShard);
  const topics = await findTopics(parts, choices, sightings);
  if (topics.size === 0) throw underived();
  onProgress("asking the outbox where each row is now");
  const isAudited = new Set(topics.keys());
  const rows = sightings.all().filter(({ destination }) => isAudited.has(destination));
  const places = await placesOf(witness, rows);
  const standing = await witness.standing(countMax, choices.ageMaxMs);
  const { surveys, found } = await surveyAll(parts, choices, { topics, rows, places, earlyEnds });
  const custody = judgeCustody({
    rows,
    places,
    found,
    isCovered: (row) => surveys.get(row.destination)?.isCovered(row) === true,
  });
  return {
    topics: [...surveys.values()].map(({ findings }) => findings),
    custody,
    standing,
    hidden: [...surveys.values()].reduce((sum, { hidden }) => sum + hidden, 0),
    unread: [...sightings.destinations()].filter((topic) => !isAudited.has(topic)).sort(),
    grown: [...topics]
      .filter(([topic, count]) => (before.get(topic) ?? count) !== count)
      .map(([topic]) => topic),
    looks: sightings.looks,
    elapsedMs: Math.round(clock.monotonicMs() - startedMs),
  };
}

type Ends = ReadonlyMap<string, ReadonlyMap<number, number>>;

async function endsOf(reader: TopicReader, topics: ReadonlyMap<string, number>): Promise<Ends> {
  const ends = new Map<string, ReadonlyMap<number, number>>();
  for (const topic of topics.keys()) {
    const bounds = await reader.bounds(topic);
    ends.set(topic, new Map(bounds.map(({ partition, end }) => [partition, end])));
  }
  return ends;
}

async function lookOn(
  { witness, clock, onProgress }: AuditParts,
  { durationMs }: AuditChoices,
  sightings: Sightings,
  perShard: number,
): Promise<void> {
  const endMs = clock.monotonicMs() + durationMs;
  let tookMs = 0;
  for (let nowMs = clock.monotonicMs(); nowMs < endMs; nowMs = clock.monotonicMs()) {
    onProgress(`${sightings.looks} look(s) at the outbox, ${sightings.size} row(s) seen`);
    await clock.sleep(Math.min(Math.max(lookPauseMs, pausesPerLook * tookMs), endMs - nowMs));
    if (sightings.isFull) continue;
    const startedMs = clock.monotonicMs();
    sightings.add(await witness.sample(perShard));
    tookMs = clock.monotonicMs() - startedMs;
  }
}

/** The topics to audit, with their partition counts. @throws OutriderError CONFIG_INVALID for a named one that is not there. */
async function findTopics(
  { reader, routing }: AuditParts,
  { topics: named }: AuditChoices,
  sightings: Sightings,
): Promise<ReadonlyMap<string, number>> {
  const visible = await reader.describe(named.length > 0 ? named : "all");
  const absent = named.filter((topic) => !visible.has(topic));
  if (absent.length > 0) {
    throw new OutriderError("CONFIG_INVALID", `no such topic: ${absent.join(", ")}`, {
      repair: "check the name, and that this login may describe and read it",
    });
  }
  const topics = named.length > 0 ? named : topicsOf(routing, sightings.destinations(), [...visible.keys()]);
  return new Map(topics.map((topic) => [topic, visible.get(topic) ?? 0]));
}

function underived(): OutriderError {
  const message = "no topic to audit: none that this login can see fits the settings or a row that waits";
  return new OutriderError("CONFIG_INVALID", message, {
    repair:
      "name the topics with --topic, or give this command the relay's OUTRIDER_TOPIC_TEMPLATE and OUTRIDER_TOPIC_DEFAULT",
  });
}

async function placesOf(witness: OutboxWitness, rows: readonly SeenRow[]): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  for (let from = 0; from < rows.length; from += findMax) {
    const ids = rows.slice(from, from + findMax).map(({ eventId }) => eventId);
    for (const [eventId, place] of await witness.find(ids)) places.set(eventId, place);
  }
  return places;
}

interface SurveyScope {
  readonly topics: ReadonlyMap<string, number>;
  readonly rows: readonly SeenRow[];
  readonly places: ReadonlyMap<string, Place>;
  readonly earlyEnds: Ends;
}

async function surveyAll(
  { reader, onProgress }: AuditParts,
  choices: AuditChoices,
  { topics, rows, places, earlyEnds }: SurveyScope,
): Promise<{ surveys: ReadonlyMap<string, Survey>; found: ReadonlyMap<string, Found> }> {
  const wanted = new Set(rows.map(({ eventId }) => eventId));
  const found = new Map<string, Found>();
  const surveys = new Map<string, Survey>();
  for (const topic of topics.keys()) {
    onProgress(`reading ${topic}`);
    const gone = rows.filter(({ destination, eventId }) => destination === topic && !places.has(eventId));
    surveys.set(
      topic,
      await surveyTopic(reader, choices, {
        topic,
        earlyEnds: earlyEnds.get(topic) ?? new Map(),
        wanted,
        neededFrom: oldestOf(gone),
        found,
      }),
    );
  }
  return { surveys, found };
}

/**
 * Rows in which relays are killed again and again at one point of a batch's way: what the proxy holds says
 * where the relay stands, and what the next owner says of the batch must agree with it.
 *
 *     enter N ──────────────────────────────────────┐
 *     AddPartitionsToTxn ──► Produce ──► offsets ───┴──► EndTxn ──► delete, enter N+1
 *       X1 ─┘                  └─ X2             X3, X4 ─┘   └─ X5
 *
 * A statement that was sent is carried out though its sender is dead: which batch is open is known for certain
 * only when the next owner says so.
 */
import { kafkaApis } from "../support/proxy.ts";
import type { LogLine } from "../support/relay-process.ts";
import { seeded } from "../support/writers.ts";
import { groupOf, holdCall, openPages, type Side } from "./held-call.ts";
import type { Row } from "./row.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

/** What becomes of a held request whose sender is dead. */
type Afterwards = "lost" | "on time" | "late";

interface Failpoint {
  readonly side: Side;
  readonly apiKey: number;
  /** In turn, one a kill. */
  readonly afterwards: readonly Afterwards[];
  /** What Kafka must have made of the batch. */
  readonly isCommitted: boolean;
}

interface Kill {
  readonly group: number;
  /** What was said of this group's open batches before. */
  readonly before: ReadonlySet<LogLine>;
}

export const failpointPlay = {
  relays: 3,
  load: { writers: 4, aggregates: 100, pauseMsMax: 60 },
  // Short, so that many kills take no longer; not so short that a busy machine loses its leases.
  relayEnvironment: { OUTRIDER_LEASE_TTL_MS: "1500", OUTRIDER_LEASE_RENEW_MS: "300" },
} as const;

const kills = 20;

/** So many relays must work before one is killed: else nobody would take over. */
export async function staffed(scene: Scene, count = 2): Promise<void> {
  const isAtWork = () =>
    scene.crew.alive.filter(({ process }) => process.lines.some(({ event }) => event === "relay-started"))
      .length >= count || undefined;
  await until("relays are at work", 30_000, isAtWork);
}

const resolutionsOf = (scene: Scene, ofGroup: number) =>
  scene.crew.linesOf("batch-resolved").filter(({ group }) => group === ofGroup);

async function resolved(scene: Scene, { group, before }: Kill): Promise<boolean> {
  return until(`the open batch of group ${group} is resolved`, 30_000, () => {
    const line = resolutionsOf(scene, group).find((said) => !before.has(said));
    return line === undefined ? undefined : line.isCommitted === true;
  });
}

/** Kills the relay whose call is held, and has another started; undefined when it had nothing open. */
async function killAt(scene: Scene, point: Failpoint, afterwards: Afterwards) {
  await staffed(scene);
  const held = await holdCall(scene, point.side, { apiKey: point.apiKey });
  const group = groupOf(held.message);
  await scene.crew.kill(held.member);
  if (afterwards === "on time") held.release();
  if (afterwards === "lost") held.drop();
  const before = new Set(resolutionsOf(scene, group));
  const page = (await openPages(scene.client)).find((open) => open.group === group);
  scene.crew.start();
  if (page !== undefined) return { group, before, release: held.release };
  held.drop();
  return undefined;
}

async function killAgainAndAgain(scene: Scene, point: Failpoint): Promise<void> {
  const open: Kill[] = [];
  const releases: Promise<void>[] = [];
  let turn = 0;
  await scene.repeat(kills, async () => {
    const afterwards = point.afterwards[turn % point.afterwards.length] ?? "lost";
    turn += 1;
    const kill = await killAt(scene, point, afterwards);
    if (kill === undefined) return;
    open.push(kill);
    if (afterwards !== "late") return;
    const release = resolved(scene, kill).then(kill.release);
    release.catch(() => undefined); // Thrown where all of them are awaited.
    releases.push(release);
  });
  await Promise.all(releases);
  const verdicts = await Promise.all(open.map((kill) => resolved(scene, kill)));
  const wrong = verdicts.filter((isCommitted) => isCommitted !== point.isCommitted).length;
  const expected = point.isCommitted ? "committed" : "not committed";
  scene.notes.push(
    `${turn} kills, ${open.length} batches left open, ${open.length - wrong} found ${expected}`,
  );
  if (open.length < turn * 0.9)
    scene.violations.push(`only ${open.length} of ${turn} kills left a batch open`);
  if (wrong > 0)
    scene.violations.push(`${wrong} batches were not found ${expected}: the failpoint is elsewhere`);
}

function rowAt(id: string, title: string, point: Failpoint): Row {
  return {
    id,
    title: `kill -9 ${title}; ${kills} times`,
    bound: `the next owner finds the batch ${point.isCommitted ? "" : "not "}committed; no duplicate`,
    under: ["exactly-once"],
    play: failpointPlay,
    run: async (scene) => {
      await scene.begin();
      await killAgainAndAgain(scene, point);
      await scene.checkpoint();
      return { duplicatesMax: 0 };
    },
  };
}

/** Many kills with nothing planned about where they strike. */
export async function killAtRandom(scene: Scene, times: number): Promise<number> {
  const random = seeded(scene.seed);
  const published = () => scene.crew.said("batch-published");
  return scene.repeat(times, async () => {
    await staffed(scene);
    const from = published() + Math.floor(random() * 25);
    await until("batches are published", 30_000, () => published() >= from || undefined);
    const { alive } = scene.crew;
    const victim = alive[Math.floor(random() * alive.length)];
    if (victim === undefined) throw new Error("no relay is alive");
    await scene.crew.kill(victim);
    scene.crew.start();
  });
}

export const failpointRows: readonly Row[] = [
  rowAt("X1", "with the intent written down and nothing sent", {
    side: "request",
    apiKey: kafkaApis.addPartitionsToTxn,
    afterwards: ["late", "lost"],
    isCommitted: false,
  }),
  rowAt("X2", "in the middle of a send: the broker has written", {
    side: "answer",
    apiKey: kafkaApis.produce,
    afterwards: ["lost"],
    isCommitted: false,
  }),
  rowAt("X3", "with all sent and the commit on its way; it arrives after the next owner, or never", {
    side: "request",
    apiKey: kafkaApis.endTxn,
    afterwards: ["late", "lost"],
    isCommitted: false,
  }),
  rowAt("X4", "with the commit on its way; it arrives before the next owner", {
    side: "request",
    apiKey: kafkaApis.endTxn,
    afterwards: ["on time"],
    isCommitted: true,
  }),
  rowAt("X5", "between the commit and the DELETE", {
    side: "answer",
    apiKey: kafkaApis.endTxn,
    afterwards: ["lost"],
    isCommitted: true,
  }),
  {
    id: "X6",
    title: "kill -9 at random moments, 50 times",
    bound: "no duplicate",
    under: ["exactly-once"],
    play: failpointPlay,
    run: async (scene) => {
      await scene.begin();
      const struck = await killAtRandom(scene, 50);
      await scene.checkpoint();
      const lines = scene.crew.linesOf("batch-resolved");
      const committed = lines.filter(({ isCommitted }) => isCommitted === true).length;
      scene.notes.push(`${struck} kills; ${lines.length} batches found open, ${committed} of them committed`);
      scene.notes.push(`${await scene.evidence.abortedCount()} records of aborted transactions in the topic`);
      return { duplicatesMax: 0 };
    },
  },
];

/** Rows about what exactly-once delivery alone depends on: fencing, the coordinator, the numbers in Kafka. */
import { messageOf } from "../../src/foundation/errors.ts";
import { kafkaApis } from "../support/proxy.ts";
import { inFlightMax, leaseTtlMs, type Member } from "./crew.ts";
import { transactionTimeoutMs } from "./delivery.ts";
import { groupOf, holdCall, openPages, type Side } from "./held-call.ts";
import type { Row } from "./row.ts";
import { administer } from "./rows-brokers.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

const progressTopic = "outrider-progress";

/** Lines by which a relay speaks of a transaction that was taken from it. */
const fencedLines = ({ process }: Member, from: number) =>
  process.lines
    .slice(from)
    .filter(({ level, msg = "" }) => level !== "debug" && /epoch|fenced|transactional/i.test(msg));

/** What a transaction needs must outlive a broker: state, numbers, and the topic that lends them its name. */
async function checkReplicas(scene: Scene): Promise<void> {
  const topics = ["__transaction_state", "__consumer_offsets", progressTopic];
  const metadata = await administer(scene, (admin) => admin.fetchTopicMetadata({ topics }));
  for (const { name, partitions } of metadata.topics)
    if (partitions.some(({ replicas }) => replicas.length !== 3))
      scene.violations.push(`${name} is not replicated to three brokers: the row proves nothing`);
}

/** Kills the broker that a transaction is being ended at; returns how long nothing was published. */
async function killCoordinator(scene: Scene, side: Side): Promise<number> {
  const held = await holdCall(scene, side, { apiKey: kafkaApis.endTxn });
  const broker = scene.stage.brokerProcess(scene.kafka, held.broker);
  const atMs = scene.fault(`kill -9 broker ${held.broker + 1}, EndTxn ${side} held`, {
    group: groupOf(held.message),
  });
  await broker.kill();
  held.release();
  const recoveryMs = await scene.flowing(atMs + 200);
  await scene.last(3_000);
  await broker.restart();
  await scene.last(3_000);
  return recoveryMs;
}

async function offsetsDeleted(scene: Scene): Promise<void> {
  const { rows } = await scene.client.query<{ id: string }>(
    "select outbox_id::text as id from outrider_identity",
  );
  const groupId = `outrider-${rows[0]?.id}`;
  await until("the progress group is deleted", 20_000, () =>
    administer(scene, (admin) => admin.deleteGroups([groupId])).then(
      () => true,
      // A transaction that is still open keeps its group alive.
      (error) => {
        scene.history.note("checker", "group not deleted yet", { message: messageOf(error) });
        return undefined;
      },
    ),
  );
  scene.fault("progress group deleted", { groupId });
}

export const exactlyOnceRows: readonly Row[] = [
  {
    id: "F7",
    title: "SIGSTOP one relay in the middle of a commit for three TTLs; the commit arrives late; SIGCONT",
    bound: "the late commit is refused, and said at most once a shard group; taken over within TTL + 1 s",
    under: ["exactly-once"],
    run: async (scene) => {
      await scene.begin();
      const held = await holdCall(scene, "request", { apiKey: kafkaApis.endTxn });
      const sleeper = held.member;
      const atMs = scene.fault("SIGSTOP", { relay: sleeper.name });
      sleeper.process.signal("SIGSTOP");
      const group = groupOf(held.message);
      const recoveryMs = await scene.takenOver(sleeper.process.pid, atMs);
      const isSettled = () =>
        scene.crew.linesOf("batch-resolved").find((line) => line.group === group) !== undefined || undefined;
      await until("the group is fenced", 10_000, isSettled);
      scene.fault("the commit of the sleeper arrives");
      held.release();
      await scene.last(3 * leaseTtlMs - recoveryMs);
      const from = sleeper.process.lines.length;
      scene.fault("SIGCONT", { relay: sleeper.name });
      sleeper.process.signal("SIGCONT");
      await scene.last(3_000);
      const told = fencedLines(sleeper, from);
      scene.notes.push(`${told.length} line(s) of the sleeper about being fenced`);
      if (told.length > 8) scene.violations.push(`a flood: ${told.length} lines about being fenced`);
      for (const { number, isCommitted } of scene.crew
        .linesOf("batch-resolved")
        .filter((line) => line.group === group))
        if (isCommitted === true)
          scene.violations.push(`batch ${number} of group ${group} counts as committed`);
      return { duplicatesMax: 0, recoveryMs, recoveryMsMax: leaseTtlMs + 1_000 };
    },
  },
  {
    id: "F21",
    title: "kill -9 the coordinator of a transaction while it is ended: before it knows, and after",
    bound: "stall ≤ 30 s; its state is replicated to three brokers",
    under: ["exactly-once"],
    play: { brokers: 3 },
    run: async (scene) => {
      await scene.begin();
      await checkReplicas(scene);
      const stalls = [await killCoordinator(scene, "request"), await killCoordinator(scene, "answer")];
      scene.notes.push(`published again after ${stalls.map(Math.round).join(" and ")} ms`);
      await scene.checkpoint();
      return { duplicatesMax: 0, recoveryMs: Math.max(...stalls), recoveryMsMax: 30_000 };
    },
  },
  {
    id: "F36P",
    title: "the committed numbers are deleted in Kafka while a batch is open and its relay dead",
    bound:
      "a relay refuses to start (PROGRESS_MISSING, exit 78); told to accept duplicates it starts, and that batch comes twice",
    under: ["exactly-once"],
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      const held = await holdCall(scene, "answer", { apiKey: kafkaApis.endTxn });
      await scene.crew.kill(held.member);
      held.drop();
      // Nobody comes to end what the dead relay had begun in its other groups.
      await scene.last(transactionTimeoutMs + 2_000);
      const open = await openPages(scene.client);
      await offsetsDeleted(scene);
      const refused = scene.crew.start();
      refused.isDismissed = true;
      const { code } = await refused.process.exited;
      const said = refused.process.stderr + JSON.stringify(refused.process.lines);
      scene.notes.push(`exit ${code}; ${open.length} batches open`);
      if (code !== 78 || !said.includes("Kafka does not know any more"))
        scene.violations.push(
          `the relay started, or ended with ${code} and did not say why: ${said.slice(0, 200)}`,
        );
      const atMs = scene.fault("accept duplicates");
      await scene.crew.hire({ OUTRIDER_ACCEPT_DUPLICATES: "true" });
      const recoveryMs = await scene.flowing(atMs);
      const twice = open.reduce((sum, { eventIds }) => sum + eventIds.length, 0);
      return { duplicatesMax: inFlightMax, unavoidableMax: twice, unavoidableMin: 1, recoveryMs };
    },
  },
];

/** What is wrong with each topic that events go to: whether it is there, safe, large enough and ours to write. */
import { isAllowed, isTopicName, type KafkaFacts, type TopicFacts, type Wanted } from "./cluster-facts.ts";
import type { Finding, Severity } from "./finding.ts";
import { aclCommand, addPartitionsCommand, createTopicCommand, setTopicCommand } from "./repair-commands.ts";
import type { Settings } from "./settings.ts";

const unknownTopic = 3;
const unauthorizedTopic = 29;
const progressPartitions = 8;
/** Enough for several consumers; more can be had later only at the price of the order. */
const partitionsSuggested = 12;

export function topicFindings(facts: KafkaFacts, wanted: readonly Wanted[], settings: Settings): Finding[] {
  const found = new Map(facts.topics.map((topic) => [topic.topic, topic]));
  const replicas = Math.min(3, facts.brokers.length);
  const findings = wanted.flatMap((want) => {
    const topic = found.get(want.topic);
    if (!isTopicName(want.topic)) return [nameFinding(want, settings)];
    if (topic === undefined) return [];
    if (topic.errorCode !== 0) return absentFindings(want, topic, replicas, settings);
    return want.why === "progress" ? progressFindings(topic, settings) : presentFindings(topic, settings);
  });
  return [...findings, ...payloadFindings(facts, wanted, settings)];
}

function nameFinding({ topic }: Wanted, { schema }: Settings): Finding {
  const literal = `'${topic.replaceAll("'", "''")}'`;
  return {
    code: "topic-invalid",
    severity: "error",
    message: `${JSON.stringify(topic)} is no topic name, and events or settings name it`,
    repair: `update "${schema.replaceAll('"', '""')}".undispatched_events set topic = 'NAME' where topic = ${literal} -- or correct OUTRIDER_TOPIC_TEMPLATE, OUTRIDER_TOPIC_DEFAULT`,
  };
}

const absence: Readonly<Record<Wanted["why"], readonly [Severity, string]>> = {
  waiting: ["error", "events wait for it, and their aggregates block"],
  named: ["error", "it was named as needed"],
  default: ["note", "events with neither topic nor aggregate_type would block"],
  progress: ["note", "exactly-once makes it at its start, if it may"],
};

function absentFindings(
  { topic, why }: Wanted,
  { errorCode }: TopicFacts,
  replicas: number,
  settings: Settings,
): Finding[] {
  const [severity, consequence] = absence[why];
  if (errorCode === unknownTopic) {
    const partitions = why === "progress" ? progressPartitions : partitionsSuggested;
    const repair = createTopicCommand(settings, topic, partitions, replicas);
    return [
      { code: "topic-missing", severity, message: `there is no topic ${topic}: ${consequence}`, repair },
    ];
  }
  if (errorCode === unauthorizedTopic) {
    const message = `this login may not even see the topic ${topic}: ${consequence}`;
    return [{ code: "topic-forbidden", severity, message, repair: writeAcl(settings, topic) }];
  }
  const message = `Kafka answers error code ${errorCode} about the topic ${topic}`;
  return [
    { code: "topic-unclear", severity: "warning", message, repair: "run this again; see the brokers' logs" },
  ];
}

const writeAcl = (settings: Settings, topic: string) =>
  aclCommand(settings, ["Write", "Describe"], `--topic ${topic}`);

function progressFindings({ topic, partitions }: TopicFacts, settings: Settings): Finding[] {
  if (partitions.length >= progressPartitions) return [];
  return [
    {
      code: "progress-partitions",
      severity: "error",
      message: `exactly-once needs ${progressPartitions} partitions in ${topic}, which has ${partitions.length}`,
      repair: addPartitionsCommand(settings, topic, progressPartitions),
    },
  ];
}

function presentFindings(facts: TopicFacts, settings: Settings): Finding[] {
  const { topic } = facts;
  const findings: Finding[] = [];
  if (!isAllowed(facts, "write")) {
    findings.push({
      code: "topic-forbidden",
      severity: "error",
      message: `this login may not write to the topic ${topic}: the aggregates of its events block`,
      repair: writeAcl(settings, topic),
    });
  }
  const leaderless = facts.partitions.filter(({ hasLeader }) => !hasLeader).map(({ partition }) => partition);
  if (leaderless.length > 0) {
    findings.push({
      code: "partition-leaderless",
      severity: "error",
      message: `${topic} has no leader for partition(s) ${leaderless.join(", ")}: nothing can be written there`,
      repair: "start the brokers that hold them",
    });
  }
  return [...findings, ...settingFindings(facts, settings), ...replicaFindings(facts, settings)];
}

function settingFindings({ topic, settings: found }: TopicFacts, settings: Settings): Finding[] {
  if (found === null) {
    const message = `this login may not read the settings of ${topic}: its limits and its safety are not checked`;
    const repair = aclCommand(settings, ["DescribeConfigs"], `--topic ${topic}`);
    return [{ code: "topic-settings-hidden", severity: "note", message, repair }];
  }
  const findings: Finding[] = [];
  const add = (code: string, message: string, name: string, value: string | number) =>
    findings.push({
      code,
      severity: "warning",
      message,
      repair: setTopicCommand(settings, topic, name, value),
    });
  const bytesMax = Number(found["max.message.bytes"]);
  if (bytesMax < settings.recordBatchBytesMax)
    add(
      "record-batch-above-topic",
      `${topic} takes record batches of ${bytesMax} bytes, and OUTRIDER_KAFKA_RECORD_BATCH_BYTES_MAX allows ${settings.recordBatchBytesMax}: full batches are refused, halved and sent again`,
      "max.message.bytes",
      settings.recordBatchBytesMax,
    );
  if ((found["cleanup.policy"] ?? "").includes("compact"))
    add(
      "topic-compacted",
      `${topic} is compacted: of each aggregate only the last event stays, and a consumer that is behind never sees the others`,
      "cleanup.policy",
      "delete",
    );
  if (found["unclean.leader.election.enable"] === "true")
    add(
      "unclean-election",
      `${topic} may elect a leader that has not all of it: events that were acknowledged, and so deleted here, are lost`,
      "unclean.leader.election.enable",
      "false",
    );
  return findings;
}

/** `min.insync.replicas` against what the topic has and against what it has just now. */
function replicaFindings({ topic, partitions, settings: found }: TopicFacts, settings: Settings): Finding[] {
  const replicas = Math.min(...partitions.map((partition) => partition.replicas));
  const insync = Math.min(...partitions.map((partition) => partition.insync));
  const needed = Number(found?.["min.insync.replicas"] ?? 1);
  const set = (value: number) => setTopicCommand(settings, topic, "min.insync.replicas", value);
  const one = (severity: Severity, code: string, message: string, repair: string): Finding[] => [
    { code, severity, message, repair },
  ];
  if (needed > replicas)
    return one(
      "error",
      "min-insync-above-replicas",
      `${topic} demands ${needed} replicas in sync and has ${replicas}: every write is refused`,
      set(Math.max(1, replicas - 1)),
    );
  if (insync < needed)
    return one(
      "error",
      "replicas-behind",
      `${topic} has ${insync} replica(s) in sync and demands ${needed}: writes are refused until brokers are back`,
      "start the brokers that are down",
    );
  if (replicas > 1 && needed === replicas)
    return one(
      "warning",
      "min-insync-all",
      `${topic} demands all its ${replicas} replicas in sync: one broker that restarts stops every write`,
      set(replicas - 1),
    );
  if (replicas > 2 && needed < 2)
    return one(
      "warning",
      "min-insync-low",
      `${topic} acknowledges with one replica in sync: if that broker's disk dies, events are lost that were deleted here`,
      set(2),
    );
  if (replicas < 3 && replicas > 0)
    return one(
      "warning",
      "replication-factor",
      `${topic} has ${replicas} replica(s): ${replicas === 1 ? "one disk holds its events" : "with one broker down, one disk holds its events"}`,
      `kafka-reassign-partitions.sh with three replicas for each partition of ${topic}`,
    );
  return [];
}

/** One note for all topics: by default Outrider reads larger payloads than Kafka takes. */
function payloadFindings({ topics }: KafkaFacts, wanted: readonly Wanted[], settings: Settings): Finding[] {
  const limits = topics
    .filter(({ topic }) => wanted.some((want) => want.topic === topic && want.why !== "progress"))
    .flatMap(({ settings: found }) => (found === null ? [] : [Number(found["max.message.bytes"])]));
  const bytesMax = Math.min(...limits);
  if (limits.length === 0 || settings.payloadBytesMax <= bytesMax) return [];
  return [
    {
      code: "payload-above-topic",
      severity: "note",
      message: `payloads of ${bytesMax} to ${settings.payloadBytesMax} bytes are read here and refused by Kafka: the aggregate of such an event blocks`,
      repair: `raise max.message.bytes of the topics, or export OUTRIDER_PAYLOAD_BYTES_MAX=${Math.max(1_000, bytesMax - 1_000)}`,
    },
  ];
}

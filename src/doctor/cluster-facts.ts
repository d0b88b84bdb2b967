/** What Kafka says about its brokers, the topics that matter and this login; as a port and its facts. */
import { type Routing, topicOf, topicShape } from "../event/message.ts";
import type { RowFacts } from "./database-facts.ts";
import type { Settings } from "./settings.ts";

/** A topic, and who says that it has to be there. */
export interface Wanted {
  readonly topic: string;
  readonly why: "waiting" | "named" | "default" | "progress";
}

/** Topics asked about in one check-up. */
const topicsMax = 200;

/**
 * The topics that events wait for, that the operator names, that events without a type go to, and that
 * exactly-once needs; each once. Names that no topic can have are left in: that they cannot is a finding.
 */
export function wantedTopics(
  settings: Settings,
  named: readonly string[],
  destinations: RowFacts["destinations"],
): readonly Wanted[] {
  const routing: Routing = settings;
  const wanted = new Map<string, Wanted>();
  const add = (topic: string, why: Wanted["why"]) => {
    if (!wanted.has(topic)) wanted.set(topic, { topic, why });
  };
  for (const destination of destinations) add(topicOf(destination, routing), "waiting");
  for (const topic of named) add(topic, "named");
  if (settings.delivery === "exactly-once") add(settings.progressTopic, "progress");
  add(settings.topicDefault, "default");
  return [...wanted.values()].slice(0, topicsMax);
}

export function isTopicName(topic: string): boolean {
  return topicShape.test(topic) && topic !== "." && topic !== "..";
}

export interface KafkaCheckup {
  /**
   * Reads only. `outboxId`: null where it cannot be read; rights on transactions are then not asked for.
   * @throws OutriderError BROKER_UNAVAILABLE (retriable) when no broker answers, or BROKER_REFUSED.
   */
  read(wanted: readonly Wanted[], outboxId: string | null): Promise<KafkaFacts>;
}

/** An address, and why nobody answers there; null when somebody does. */
export interface Reach {
  readonly address: string;
  readonly trouble: string | null;
}

export interface KafkaFacts {
  /** The addresses of the settings. */
  readonly bootstrap: readonly Reach[];
  /** Where the brokers say that they are: every client goes there. */
  readonly brokers: readonly Reach[];
  readonly topics: readonly TopicFacts[];
  /** Null unless delivery is exactly-once. */
  readonly transactions: TransactionFacts | null;
}

export interface TopicFacts {
  readonly topic: string;
  /** Kafka's; 0 when the topic is there and may be described. */
  readonly errorCode: number;
  readonly partitions: readonly PartitionFacts[];
  /** A bit for each operation that this login may do; null when the broker does not tell. */
  readonly operations: number | null;
  /** Null when this login may not read them. */
  readonly settings: Readonly<Record<string, string>> | null;
}

export interface PartitionFacts {
  readonly partition: number;
  readonly hasLeader: boolean;
  readonly replicas: number;
  readonly insync: number;
}

export interface TransactionFacts {
  /** What Kafka answered about the transactional.id and the group; null when it may be used. */
  readonly transactionalIdTrouble: string | null;
  readonly groupTrouble: string | null;
  readonly transactionalIdPrefix: string;
  /** Null when this login may not read it. */
  readonly timeoutMsMax: number | null;
}

/** Kafka's numbers of operations in access control lists. */
export const operationCodes = { write: 4, describe: 8 } as const;

export function isAllowed({ operations }: TopicFacts, operation: keyof typeof operationCodes): boolean {
  return operations === null || (operations & (1 << operationCodes[operation])) !== 0;
}

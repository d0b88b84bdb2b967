/** The facts about Kafka: describes brokers, topics and rights, and never writes, joins or creates. */
import { OutriderError } from "../foundation/errors.ts";
import type { KafkaOptions } from "../publisher/kafka-options.ts";
import { connectErrorOf, troubleOf } from "../publisher/kafka-outcome.ts";
import {
  isTopicName,
  type KafkaCheckup,
  type KafkaFacts,
  type Reach,
  type TopicFacts,
  type TransactionFacts,
  type Wanted,
} from "./cluster-facts.ts";
import { KafkaContact } from "./kafka-contact.ts";
import { type ClusterMetadata, metadataExchange } from "./kafka-metadata.ts";

/** How exactly-once names itself; null for the other modes. */
export interface TransactionNames {
  readonly transactionalIdPrefix: string;
}

const resourceTypes = { topic: 2, broker: 4 } as const;
const coordinatorTypes = { group: 0, transaction: 1 } as const;
const topicSettings = [
  "max.message.bytes",
  "min.insync.replicas",
  "cleanup.policy",
  "unclean.leader.election.enable",
];

type Tried = { readonly reach: Reach } & ({ readonly contact: KafkaContact } | { readonly error: unknown });

export class KafkaBrokersFacts implements KafkaCheckup {
  readonly #options: KafkaOptions;
  readonly #transactions: TransactionNames | null;

  constructor(options: KafkaOptions, transactions: TransactionNames | null) {
    this.#options = options;
    this.#transactions = transactions;
  }

  async read(wanted: readonly Wanted[], outboxId: string | null): Promise<KafkaFacts> {
    const tried = await Promise.all(this.#options.brokers.map((address) => this.#try(address)));
    const contacts = tried.flatMap((one) => ("contact" in one ? [one.contact] : []));
    try {
      const [first] = contacts;
      if (first === undefined) throw this.#away(tried);
      return await this.#readWith(first, tried, wanted, outboxId);
    } finally {
      await Promise.all(contacts.map((contact) => contact.close()));
    }
  }

  async #readWith(
    contact: KafkaContact,
    tried: readonly Tried[],
    wanted: readonly Wanted[],
    outboxId: string | null,
  ): Promise<KafkaFacts> {
    const names = wanted.map(({ topic }) => topic).filter(isTopicName);
    const bootstrap = tried.map(({ reach }) => reach);
    try {
      const { brokers, topics } = (await contact.broker.connectionPool.send(
        metadataExchange(names),
      )) as ClusterMetadata;
      const described: TopicFacts[] = [];
      for (const topic of topics) described.push({ ...topic, settings: await settingsOf(contact, topic) });
      return {
        bootstrap,
        brokers: await Promise.all(brokers.map(({ address }) => this.#reach(address, bootstrap))),
        topics: described,
        transactions: await this.#transactionFacts(contact, outboxId, brokers[0]?.nodeId ?? 0),
      };
    } catch (error) {
      throw connectErrorOf(error, this.#options.brokers.join(","));
    }
  }

  async #try(address: string): Promise<Tried> {
    const contact = new KafkaContact(this.#options, address);
    try {
      await contact.connect();
      return { reach: { address, trouble: null }, contact };
    } catch (error) {
      await contact.close();
      return { reach: { address, trouble: troubleOf(error) }, error };
    }
  }

  async #reach(address: string, known: readonly Reach[]): Promise<Reach> {
    const before = known.find((reach) => reach.address === address);
    if (before !== undefined) return before;
    const tried = await this.#try(address);
    if ("contact" in tried) await tried.contact.close();
    return tried.reach;
  }

  /** A login that is refused says more than an address that does not answer. */
  #away(tried: readonly Tried[]): OutriderError {
    const errors = tried.map((one) =>
      connectErrorOf("error" in one ? one.error : undefined, one.reach.address),
    );
    const refused = errors.find(({ code }) => code === "BROKER_REFUSED");
    if (refused !== undefined) return refused;
    return new OutriderError("BROKER_UNAVAILABLE", errors.map(({ message }) => message).join("; "), {
      repair: "start the brokers, or correct KAFKA_BROKERS",
      retriable: true,
    });
  }

  async #transactionFacts(
    contact: KafkaContact,
    outboxId: string | null,
    nodeId: number,
  ): Promise<TransactionFacts | null> {
    if (this.#transactions === null || outboxId === null) return null;
    const name = `${this.#transactions.transactionalIdPrefix}-${outboxId}`;
    const ask = (groupId: string, coordinatorType: number) =>
      authorizationTrouble(contact.broker.findGroupCoordinator({ groupId, coordinatorType }));
    return {
      transactionalIdPrefix: name,
      transactionalIdTrouble: await ask(`${name}-0`, coordinatorTypes.transaction),
      groupTrouble: await ask(name, coordinatorTypes.group),
      timeoutMsMax: await timeoutMaxOf(contact, nodeId),
    };
  }
}

/** Only what a right would mend; a coordinator that is being found is none of that. */
async function authorizationTrouble(asked: Promise<unknown>): Promise<string | null> {
  try {
    await asked;
    return null;
  } catch (error) {
    return /AUTHORIZATION_FAILED/.test(typeOf(error)) ? troubleOf(error) : null;
  }
}

async function settingsOf(
  contact: KafkaContact,
  { topic, errorCode }: Pick<TopicFacts, "topic" | "errorCode">,
): Promise<TopicFacts["settings"]> {
  if (errorCode !== 0) return null;
  return configsOf(contact, { type: resourceTypes.topic, name: topic, configNames: topicSettings });
}

async function timeoutMaxOf(contact: KafkaContact, nodeId: number): Promise<number | null> {
  const name = "transaction.max.timeout.ms";
  const resource = { type: resourceTypes.broker, name: String(nodeId), configNames: [name] };
  const found = (await configsOf(contact, resource))?.[name];
  return found === undefined ? null : Number(found);
}

/** Null when this login may not read them, or this broker is not the one to ask: nothing is judged then. */
async function configsOf(
  contact: KafkaContact,
  resource: { type: number; name: string; configNames: readonly string[] },
): Promise<Record<string, string> | null> {
  try {
    const { resources } = await contact.broker.describeConfigs({ resources: [resource] });
    const entries = resources.flatMap(({ configEntries }) => configEntries);
    return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue ?? ""]));
  } catch (error) {
    if (/AUTHORIZATION_FAILED|INVALID_REQUEST/.test(typeOf(error))) return null;
    throw error;
  }
}

const typeOf = (error: unknown): string =>
  error instanceof Error && "type" in error ? String(error.type) : "";

/** One broker, spoken to over a connection of its own, so that each address is tried by itself. */
import { clientConfigOf, type KafkaOptions } from "../publisher/kafka-options.ts";
import { Sockets } from "../publisher/kafka-sockets.ts";
import { makeCluster } from "../publisher/kafkajs-cluster.ts";
import { type Exchange, repairKafkajs } from "../publisher/kafkajs-repairs.ts";

export interface ConfigEntry {
  readonly configName: string;
  readonly configValue: string | null;
}

/** The members of kafkajs that are used here; its version is pinned and checked. */
interface Seed {
  readonly connectionPool: { send(exchange: Exchange): Promise<unknown> };
  describeConfigs(request: {
    resources: readonly { type: number; name: string; configNames: readonly string[] }[];
  }): Promise<{ readonly resources: readonly { readonly configEntries: readonly ConfigEntry[] }[] }>;
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<unknown>;
}

interface SeededCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  readonly brokerPool: { readonly seedBroker: Seed };
}

export class KafkaContact {
  readonly #sockets = new Sockets();
  readonly #cluster: SeededCluster;

  constructor(options: KafkaOptions, address: string) {
    repairKafkajs();
    const config = clientConfigOf({ ...options, clientId: `${options.clientId}-doctor` }, [address]);
    this.#cluster = makeCluster({
      ...config,
      socketFactory: this.#sockets.factory,
    }) as unknown as SeededCluster;
  }

  /** Throws whatever kafkajs does; with every connection and every answer bounded by the settings. */
  connect(): Promise<void> {
    return this.#cluster.connect();
  }

  get broker(): Seed {
    return this.#cluster.brokerPool.seedBroker;
  }

  async close(): Promise<void> {
    // Nothing is on its way; a broker that does not answer must not be waited for.
    this.#sockets.sever();
    await this.#cluster.disconnect().catch(() => undefined);
  }
}

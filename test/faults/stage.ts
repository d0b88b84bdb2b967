/**
 * The real parts of a fault run, each behind a proxy of ours: PostgreSQL, one Kafka broker, and on demand
 * three of them. Rows share them and each makes a database and a topic of its own.
 */

import type { OwnProcess } from "../../src/environment/environment.ts";
import {
  type KafkaPart,
  type PostgresPart,
  startKafka,
  startPostgres,
} from "../../src/environment/environment.ts";
import { startProxy, type TcpProxy } from "../support/proxy.ts";

/** What this machine cannot do; the row says so and counts as not passed. */
export class Impossible extends Error {}

export interface KafkaStage {
  readonly kafka: KafkaPart;
  readonly proxies: readonly TcpProxy[];
  /** Through the proxies. */
  readonly addresses: string;
}

export interface StageOptions {
  /** `ours`: servers that may be killed. `any`: whatever the environment gives. */
  readonly flavour: "ours" | "any";
  readonly onProgress: (text: string) => void;
}

/**
 * A row takes rights away from a topic and gives them back; without a rule everybody may do everything.
 * On one broker only: several could not elect their first controller before they have read the rules.
 */
const authorizer = {
  "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "allow.everyone.if.no.acl.found": "true",
};

const brokerProperties = {
  // A broker that is silent counts as gone after three seconds, not nine.
  "broker.session.timeout.ms": "3000",
  "broker.heartbeat.interval.ms": "500",
  "replica.lag.time.max.ms": "3000",
  // A transaction that nobody ends is ended a second after its time-out, not ten.
  "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
};

export class Stage {
  readonly postgres: PostgresPart;
  readonly postgresProxy: TcpProxy;
  readonly one: KafkaStage;
  readonly #options: StageOptions;
  #three: Promise<KafkaStage> | undefined;

  private constructor(
    postgres: PostgresPart,
    postgresProxy: TcpProxy,
    one: KafkaStage,
    options: StageOptions,
  ) {
    this.postgres = postgres;
    this.postgresProxy = postgresProxy;
    this.one = one;
    this.#options = options;
  }

  static async open(options: StageOptions): Promise<Stage> {
    const isOurs = options.flavour === "ours";
    const starting = startPostgres({
      flavour: isOurs ? "embedded" : "any",
      // Servers are killed here, the machine is not: nothing needs to reach the disk.
      settings: { fsync: "off", track_commit_timestamp: "on" },
      onProgress: options.onProgress,
    });
    const [postgres, one] = await Promise.all([starting, startBehindProxies(1, options)]);
    const { host } = new URL(postgres.url);
    const proxy = await startProxy({ protocol: "postgres", target: host });
    return new Stage(postgres, proxy, one, options);
  }

  /** Servers that somebody else has started and will stop; the brokers are reached without a proxy. */
  static async around(postgresUrl: string, brokers: string): Promise<Stage> {
    const kept = { kind: "given", stop: async () => undefined } as const;
    const kafka = { ...kept, brokers: brokers.split(","), behindProxy: [], processes: [] };
    const proxy = await startProxy({ protocol: "postgres", target: new URL(postgresUrl).host });
    const postgres = { ...kept, url: postgresUrl, version: "" };
    const options = { flavour: "any", onProgress: () => undefined } as const;
    return new Stage(postgres, proxy, { kafka, proxies: [], addresses: brokers }, options);
  }

  /** The same database, by way of the proxy. */
  throughProxy(url: string): string {
    const proxied = new URL(url);
    proxied.host = this.postgresProxy.address;
    return proxied.href;
  }

  /** The server to kill. */
  get postgresProcess(): OwnProcess {
    if (this.postgres.process !== undefined) return this.postgres.process;
    throw new Impossible("this PostgreSQL was given and is not ours to kill: unset DATABASE_URL");
  }

  brokerProcess(stage: KafkaStage, at: number): OwnProcess {
    const process = stage.kafka.processes[at];
    if (process !== undefined) return process;
    throw new Impossible("these brokers are not processes of ours to kill: run without a container engine");
  }

  /** Three brokers, started when first asked for. */
  three(): Promise<KafkaStage> {
    this.#three ??= startBehindProxies(3, this.#options).catch((error) => {
      // The next row that needs them tries again.
      this.#three = undefined;
      throw error;
    });
    return this.#three;
  }

  /** Ends what a row has left behind on the wires. */
  async heal(): Promise<void> {
    const three = await this.#three;
    const proxies = [this.postgresProxy, ...this.one.proxies, ...(three?.proxies ?? [])];
    for (const proxy of proxies) {
      proxy.cut();
      await proxy.heal();
    }
    this.postgresProxy.leadTo(new URL(this.postgres.url).host);
  }

  async close(): Promise<void> {
    const three = await this.#three?.catch(() => undefined);
    const kafkas = three === undefined ? [this.one] : [this.one, three];
    await this.postgresProxy.close();
    await this.postgres.stop();
    for (const { kafka, proxies } of kafkas) {
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await kafka.stop();
    }
  }
}

async function startBehindProxies(
  brokerCount: 1 | 3,
  { flavour, onProgress }: StageOptions,
): Promise<KafkaStage> {
  const proxies: TcpProxy[] = [];
  for (let n = 0; n < brokerCount; n += 1) proxies.push(await startProxy({ protocol: "kafka" }));
  const kafka = await startKafka({
    flavour: flavour === "ours" ? "own" : "any",
    brokerCount,
    advertisedPorts: proxies.map(({ port }) => port),
    properties: brokerCount === 1 ? { ...brokerProperties, ...authorizer } : brokerProperties,
    onProgress,
  });
  for (const [n, proxy] of proxies.entries()) proxy.leadTo(kafka.behindProxy[n] ?? "");
  return { kafka, proxies, addresses: proxies.map(({ address }) => address).join(",") };
}

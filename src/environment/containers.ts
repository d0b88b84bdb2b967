/** PostgreSQL and Kafka in containers, by testcontainers, which also ends them should we die. */
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { acceptsSoon } from "./kafka-answers.ts";
import { choosePorts, type KafkaCluster } from "./kafka-cluster.ts";
import { kafkaVersion } from "./kafka-jars.ts";
import { kafkaProperties, propertiesEnv } from "./kafka-properties.ts";
import { settingFlags, versionOf } from "./postgres-server.ts";

const postgresImage = "postgres:18";
const kafkaImage = `apache/kafka:${kafkaVersion}`;

export interface ContainerPostgres {
  readonly url: string;
  readonly version: string;
  stop(): Promise<void>;
}

export async function startPostgresContainer(
  settings: Readonly<Record<string, string>>,
): Promise<ContainerPostgres> {
  const { PostgreSqlContainer } = await loaded(
    "@testcontainers/postgresql",
    () => import("@testcontainers/postgresql"),
  );
  const command = ["postgres", ...settingFlags(settings)];
  const container = await started(postgresImage, () =>
    new PostgreSqlContainer(postgresImage).withCommand(command).start(),
  );
  const url = container.getConnectionUri();
  return { url, version: await versionOf(url), stop: async () => void (await container.stop()) };
}

/**
 * Kafka listens inside the container on the very port that the host maps, so that what it tells
 * clients is true on both sides. Testcontainers' own Kafka class knows Confluent's image only.
 */
export async function startKafkaContainer(
  advertisedPort: number | undefined,
  own: Readonly<Record<string, string>>,
): Promise<Omit<KafkaCluster, "processes">> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await loaded(
    "testcontainers",
    () => import("testcontainers"),
  );
  const client = await started(kafkaImage, getContainerRuntimeClient);
  const { host } = client.info.containerRuntime;
  const ports = await choosePorts(advertisedPort);
  const listening = [ports.internal, ...(ports.external === undefined ? [] : [ports.external.listen])];
  const properties = kafkaProperties({
    node: 1,
    ports: [ports],
    logDirectory: "/tmp/kafka-logs",
    bindHost: "0.0.0.0",
    clientHost: host,
    own,
  });
  const container = await started(kafkaImage, () =>
    new GenericContainer(kafkaImage)
      .withEnvironment(propertiesEnv(properties))
      .withExposedPorts(...listening.map((port) => ({ container: port, host: port })))
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .withStartupTimeout(180_000)
      .start(),
  );
  const brokers = [`${host}:${ports.internal}`];
  await started(kafkaImage, () => acceptsSoon(brokers));
  return {
    brokers,
    behindProxy: ports.external === undefined ? [] : [`${host}:${ports.external.listen}`],
    stop: async () => void (await container.stop()),
  };
}

async function loaded<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new OutriderError("PART_MISSING", `a container engine answers, but ${name} cannot be loaded`, {
      repair: `run: npm install --save-dev ${name}, or set DATABASE_URL and KAFKA_BROKERS`,
      cause,
    });
  }
}

/** An engine answers and yet nothing comes of it: no right to it, no network to pull from. */
async function started<T>(image: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (cause) {
    throw new OutriderError("PART_MISSING", `${image} does not start in a container: ${messageOf(cause)}`, {
      repair: "repair the container engine, or set DOCKER_HOST=none to do without one",
      cause,
    });
  }
}

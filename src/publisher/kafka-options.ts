/** What the Kafka publisher is told once, at the start; and what follows from it for kafkajs. */
import type { KafkaConfig, ProducerConfig } from "kafkajs";

export interface KafkaTls {
  /** PEM texts. Without `ca`, the certificate authorities of Node.js are trusted. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name to expect in the brokers' certificates, where it is not the name they are dialled by. */
  readonly serverName?: string | undefined;
  /** False accepts any certificate: for a test bench only. Default true. */
  readonly isVerified?: boolean | undefined;
}

export interface KafkaSasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: string;
}

export interface KafkaOptions {
  /** `host:port`, at least one; any of them that answers leads to all the others. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Null: plain text. */
  readonly tls: KafkaTls | null;
  /** Null: no login. */
  readonly sasl: KafkaSasl | null;
  /** After so long without an answer the outcome of a send is unknown. */
  readonly requestTimeoutMs: number;
  readonly connectionTimeoutMs: number;
  readonly compression: "none" | "gzip";
  /**
   * Largest record batch, before compression. kafkajs puts all messages for a partition into one
   * batch, and the broker measures the batch (`max.message.bytes`, by default 1,048,588).
   */
  readonly requestBytesMax: number;
}

/** How long a broken publisher leaves a topic alone that was missing, before it looks again. */
export const topicRelookMs = 2_000;

/**
 * The client half of the settings, every one spelled out. `retries: 0`: a kafkajs that repeats on its
 * own can resolve a send without having written all of it; the repeating is the relay's.
 */
export function clientConfigOf(options: KafkaOptions, brokers: readonly string[]): KafkaConfig {
  const { tls, sasl, connectionTimeoutMs } = options;
  return {
    brokers: [...brokers],
    clientId: options.clientId,
    ssl: tls === null ? false : tlsConfigOf(tls),
    ...(sasl === null ? undefined : { sasl: { ...sasl } as NonNullable<KafkaConfig["sasl"]> }),
    connectionTimeout: connectionTimeoutMs,
    authenticationTimeout: connectionTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    enforceRequestTimeout: true,
    retry: { retries: 0 },
  };
}

function tlsConfigOf(tls: KafkaTls): Exclude<KafkaConfig["ssl"], boolean | undefined> {
  return {
    ...(tls.ca === undefined ? undefined : { ca: tls.ca }),
    ...(tls.cert === undefined ? undefined : { cert: tls.cert }),
    ...(tls.key === undefined ? undefined : { key: tls.key }),
    ...(tls.serverName === undefined ? undefined : { servername: tls.serverName }),
    rejectUnauthorized: tls.isVerified ?? true,
  };
}

/**
 * The producer half. Idempotence is off because kafkajs rolls its sequence numbers back after a
 * failure, and the broker then takes the next batch for a duplicate and drops it. The partition of
 * every message was computed before (`kafka-partitions.ts`); this partitioner only reads it back.
 */
export const producerConfig: ProducerConfig = {
  idempotent: false,
  maxInFlightRequests: 1,
  retry: { retries: 0 },
  allowAutoTopicCreation: false,
  metadataMaxAge: 300_000,
  createPartitioner: readPartition,
};

function readPartition(): ReturnType<NonNullable<ProducerConfig["createPartitioner"]>> {
  return ({ message }) => message.partition as number;
}

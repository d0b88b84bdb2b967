/**
 * Every setting, once: variable, kind, default, unit, bounds and a sentence. The parser, `--help`,
 * `outrider config` and the reference in the README are all made from this table.
 */

interface KeyBase {
  readonly variable: string;
  readonly sentence: string;
  readonly unit?: string;
  /** Masked wherever it is shown, has no flag (a process list is public) and a `_FILE` twin. */
  readonly isSecret?: boolean;
}

export interface TextKey extends KeyBase {
  readonly kind: "text" | "list" | "file" | "cron";
  readonly default: string | null;
}
export interface NumberKey extends KeyBase {
  readonly kind: "number";
  readonly default: number;
  readonly min: number;
  readonly max: number;
}
export interface FlagKey extends KeyBase {
  readonly kind: "flag";
  readonly default: boolean;
}
export interface ChoiceKey<C extends string = string> extends KeyBase {
  readonly kind: "choice";
  readonly default: C | null;
  readonly choices: readonly C[];
}
export type Key = TextKey | NumberKey | FlagKey | ChoiceKey;

function choice<C extends string, D extends C | null>(
  variable: string,
  choices: readonly C[],
  fallback: D,
  sentence: string,
): ChoiceKey<C> & { readonly default: D } {
  return { kind: "choice", variable, choices, default: fallback, sentence };
}

function number(
  variable: string,
  fallback: number,
  [min, max]: readonly [number, number],
  unit: string,
  sentence: string,
): NumberKey {
  return { kind: "number", variable, default: fallback, min, max, unit, sentence };
}

function text<D extends string | null>(
  variable: string,
  fallback: D,
  sentence: string,
  kind: TextKey["kind"] = "text",
): TextKey & { readonly default: D } {
  return { kind, variable, default: fallback, sentence };
}

const secret = <K extends Key>(key: K): K => ({ ...key, isSecret: true });

const minute = 60_000;
const mebibyte = 1_048_576;

/** Checked against `Key` below, not here: a contextual type would widen every choice to `string`. */
const keys = {
  databaseUrl: secret(
    text("DATABASE_URL", null, "Where PostgreSQL is: postgres://user:password@host:port/database."),
  ),
  schema: text("OUTRIDER_SCHEMA", "public", "The schema that holds undispatched_events."),
  databaseSslmode: choice(
    "OUTRIDER_DATABASE_SSLMODE",
    ["disable", "require", "verify-ca", "verify-full"],
    null,
    "TLS to PostgreSQL; overrides sslmode in the URL. `require` encrypts without checking who answers, unless a certificate authority is given.",
  ),
  databaseCaFile: text(
    "OUTRIDER_DATABASE_CA_FILE",
    null,
    "Certificate authority for PostgreSQL (PEM).",
    "file",
  ),
  databaseCertFile: text(
    "OUTRIDER_DATABASE_CERT_FILE",
    null,
    "Client certificate for PostgreSQL (PEM).",
    "file",
  ),
  databaseKeyFile: text("OUTRIDER_DATABASE_KEY_FILE", null, "Client key for PostgreSQL (PEM).", "file"),
  databaseConnectTimeoutMs: number(
    "OUTRIDER_DATABASE_CONNECT_TIMEOUT_MS",
    10_000,
    [100, 10 * minute],
    "ms",
    "How long to wait for a connection to PostgreSQL.",
  ),
  databaseStatementTimeoutMs: number(
    "OUTRIDER_DATABASE_STATEMENT_TIMEOUT_MS",
    30_000,
    [100, 10 * minute],
    "ms",
    "How long one statement of the relay may run; the connection is thrown away after it.",
  ),
  publisher: choice("OUTRIDER_PUBLISHER", ["kafka", "stdout"], "kafka" as const, "Where events go."),
  kafkaBrokers: text("KAFKA_BROKERS", null, "Kafka's bootstrap addresses: host:port,host:port.", "list"),
  kafkaClientId: text(
    "OUTRIDER_KAFKA_CLIENT_ID",
    "outrider",
    "The name Kafka's logs and quotas know the relay by.",
  ),
  kafkaTls: {
    kind: "flag",
    variable: "OUTRIDER_KAFKA_TLS",
    default: false,
    sentence: "Speak TLS to Kafka and check its certificate.",
  },
  kafkaCaFile: text("OUTRIDER_KAFKA_CA_FILE", null, "Certificate authority for Kafka (PEM).", "file"),
  kafkaCertFile: text("OUTRIDER_KAFKA_CERT_FILE", null, "Client certificate for Kafka (PEM).", "file"),
  kafkaKeyFile: text("OUTRIDER_KAFKA_KEY_FILE", null, "Client key for Kafka (PEM).", "file"),
  kafkaSaslMechanism: choice(
    "OUTRIDER_KAFKA_SASL_MECHANISM",
    ["plain", "scram-sha-256", "scram-sha-512"],
    null,
    "How to log in to Kafka; none when unset.",
  ),
  kafkaSaslUsername: text("OUTRIDER_KAFKA_SASL_USERNAME", null, "The user to log in to Kafka with."),
  kafkaSaslPassword: secret(
    text("OUTRIDER_KAFKA_SASL_PASSWORD", null, "The password to log in to Kafka with."),
  ),
  kafkaConnectTimeoutMs: number(
    "OUTRIDER_KAFKA_CONNECT_TIMEOUT_MS",
    10_000,
    [100, 10 * minute],
    "ms",
    "How long to wait for a connection to a broker.",
  ),
  kafkaRequestTimeoutMs: number(
    "OUTRIDER_KAFKA_REQUEST_TIMEOUT_MS",
    30_000,
    [100, 10 * minute],
    "ms",
    "How long to wait for a broker's answer before its outcome counts as unknown.",
  ),
  kafkaCompression: choice(
    "OUTRIDER_KAFKA_COMPRESSION",
    ["none", "gzip"],
    "none" as const,
    "Compression of record batches.",
  ),
  kafkaRequestBytesMax: number(
    "OUTRIDER_KAFKA_RECORD_BATCH_BYTES_MAX",
    900_000,
    [1_000, 100 * mebibyte],
    "bytes",
    "Largest record batch sent to one partition; keep it below the topic's max.message.bytes.",
  ),
  topicTemplate: text(
    "OUTRIDER_TOPIC_TEMPLATE",
    "outbox.event.${aggregate_type}",
    "Topic of an event that names none but has an aggregate_type.",
  ),
  topicDefault: text(
    "OUTRIDER_TOPIC_DEFAULT",
    "outbox.event",
    "Topic of an event that has neither topic nor aggregate_type.",
  ),
  delivery: choice(
    "OUTRIDER_DELIVERY",
    ["at-least-once", "at-most-once", "exactly-once"],
    "at-least-once" as const,
    "What a consumer may see after a failure: an event again, an event never, or (with read_committed) each event once.",
  ),
  kafkaTransactionTimeoutMs: number(
    "OUTRIDER_KAFKA_TRANSACTION_TIMEOUT_MS",
    15_000,
    [1_000, 15 * minute],
    "ms",
    "Exactly-once: how long the transaction of a relay that died may hold readers back, unless another takes over before.",
  ),
  transactionalIdPrefix: text(
    "OUTRIDER_TRANSACTIONAL_ID_PREFIX",
    "outrider",
    "Exactly-once: begins the name of each transactional.id and of the consumer group that keeps the batch numbers; the outbox's own id follows.",
  ),
  progressTopic: text(
    "OUTRIDER_PROGRESS_TOPIC",
    "outrider-progress",
    "Exactly-once: an empty topic with four partitions, to which the batch numbers belong; made when it is missing.",
  ),
  acceptDuplicates: {
    kind: "flag",
    variable: "OUTRIDER_ACCEPT_DUPLICATES",
    default: false,
    sentence:
      "Exactly-once: start although Kafka lost the number of the last batch (PROGRESS_MISSING); that batch may then be published twice.",
  },
  batchEventsMax: number(
    "OUTRIDER_BATCH_EVENTS_MAX",
    2_000,
    [1, 20_000],
    "events",
    "Most events in one batch; at most two batches are in flight.",
  ),
  batchBytesMax: number(
    "OUTRIDER_BATCH_BYTES_MAX",
    1.5 * mebibyte,
    [10_000, 256 * mebibyte],
    "bytes",
    "Most payload bytes in one batch, unless a single event is larger.",
  ),
  payloadBytesMax: number(
    "OUTRIDER_PAYLOAD_BYTES_MAX",
    8 * mebibyte,
    [1_000, 128 * mebibyte],
    "bytes",
    "A larger payload is not even read: its aggregate blocks and says so.",
  ),
  pollMinMs: number(
    "OUTRIDER_POLL_MIN_MS",
    1,
    [0, minute],
    "ms",
    "Pause between two polls while events keep coming.",
  ),
  pollMaxMs: number(
    "OUTRIDER_POLL_MAX_MS",
    10,
    [1, 10 * minute],
    "ms",
    "Pause between two polls of an idle outbox; the first event after idle waits about this long at most.",
  ),
  idlePoll: choice(
    "OUTRIDER_IDLE_POLL",
    ["server", "client"],
    "server" as const,
    "Where an idle relay polls: `server` in statements that wait there for two seconds at most, for a fraction of the processor time; `client` asks each time, for a pooler that has few backends to lend. Behind one that refuses session time-outs, as PgBouncer does, it is always `client`.",
  ),
  fencePolicy: choice(
    "OUTRIDER_FENCE",
    ["bounded", "strict"],
    "bounded" as const,
    "`bounded` passes a writer that stays open longer than the hold time, loudly; `strict` waits for ever.",
  ),
  fenceHoldMs: number(
    "OUTRIDER_FENCE_HOLD_MS",
    minute,
    [100, 24 * 60 * minute],
    "ms",
    "How long an open writer may hold newer events back under `bounded`.",
  ),
  fenceWarnMs: number(
    "OUTRIDER_FENCE_WARN_MS",
    5_000,
    [10, 24 * 60 * minute],
    "ms",
    "After how long a writer that holds newer events back is named in the log.",
  ),
  leaseTtlMs: number(
    "OUTRIDER_LEASE_TTL_MS",
    10_000,
    [500, 10 * minute],
    "ms",
    "How long the shards of a relay that died stay with it before another takes them over.",
  ),
  leaseRenewMs: number(
    "OUTRIDER_LEASE_RENEW_MS",
    3_000,
    [50, 5 * minute],
    "ms",
    "How often a relay renews its leases and looks for its fair share.",
  ),
  schedule: text(
    "OUTRIDER_SCHEDULE",
    null,
    "When to dispatch (cron with seconds, in the process's time zone): each tick publishes what waits by then. Unset: continuously.",
    "cron",
  ),
  sweepCron: text(
    "OUTRIDER_SWEEP_CRON",
    "*/10 * * * * *",
    "When to look again from the beginning of the outbox (cron with seconds); finds events whose created_at lies in the past.",
    "cron",
  ),
  statisticsCron: text(
    "OUTRIDER_STATISTICS_CRON",
    "*/15 * * * * *",
    "When to count the backlog for the log (cron with seconds).",
    "cron",
  ),
  inboxRetentionMs: number(
    "OUTRIDER_INBOX_RETENTION_MS",
    0,
    [0, 3_650 * 24 * 60 * minute],
    "ms",
    "How long marks stay in a processed_events beside the outbox; 0 prunes nothing. Longer than anything can still deliver an event, and at least an hour (3600000).",
  ),
  inboxPruneCron: text(
    "OUTRIDER_INBOX_PRUNE_CRON",
    "30 * * * * *",
    "When to prune that inbox (cron with seconds).",
    "cron",
  ),
  inboxPruneRowsMax: number(
    "OUTRIDER_INBOX_PRUNE_ROWS_MAX",
    5_000,
    [1, 100_000],
    "rows",
    "Most marks that one statement deletes; one run is at most 200 of them.",
  ),
  backoffMinMs: number(
    "OUTRIDER_BACKOFF_MIN_MS",
    100,
    [1, minute],
    "ms",
    "First wait after PostgreSQL or Kafka went away; doubles, with jitter.",
  ),
  backoffMaxMs: number(
    "OUTRIDER_BACKOFF_MAX_MS",
    5_000,
    [1, 60 * minute],
    "ms",
    "Longest wait between two attempts at PostgreSQL or Kafka.",
  ),
  blockRetryMinMs: number(
    "OUTRIDER_BLOCK_RETRY_MIN_MS",
    1_000,
    [10, 60 * minute],
    "ms",
    "First wait before a rejected event is tried again; doubles, with jitter.",
  ),
  blockRetryMaxMs: number(
    "OUTRIDER_BLOCK_RETRY_MAX_MS",
    minute,
    [10, 24 * 60 * minute],
    "ms",
    "Longest wait before a rejected event is tried again.",
  ),
  rejected: choice(
    "OUTRIDER_REJECTED",
    ["block", "dead-letter"],
    "block" as const,
    "What becomes of an event that is rejected again and again: `block` keeps its aggregate waiting; `dead-letter` moves the event aside, and its aggregate goes on without it.",
  ),
  attemptsMax: number(
    "OUTRIDER_ATTEMPTS_MAX",
    10,
    [1, 1_000_000],
    "attempts",
    "After how many rejections `dead-letter` gives an event up; a broker that is away does not count.",
  ),
  blockedAggregatesMax: number(
    "OUTRIDER_BLOCKED_AGGREGATES_MAX",
    10_000,
    [1, 1_000_000],
    "aggregates",
    "With more blocked aggregates than this the fault is everywhere: the relay stops claiming until one is free.",
  ),
  shutdownTimeoutMs: number(
    "OUTRIDER_SHUTDOWN_TIMEOUT_MS",
    25_000,
    [100, 10 * minute],
    "ms",
    "How long a clean stop may take; what is in flight by then is published again after the restart.",
  ),
  failFast: {
    kind: "flag",
    variable: "OUTRIDER_FAIL_FAST",
    default: false,
    sentence: "Exit with 69 when PostgreSQL or Kafka is away at the start, instead of waiting.",
  },
  logLevel: choice(
    "OUTRIDER_LOG_LEVEL",
    ["debug", "info", "warn", "error", "silent"],
    "info" as const,
    "How much the log says.",
  ),
  logIds: choice(
    "OUTRIDER_LOG_IDS",
    ["plain", "hashed", "none"],
    "plain" as const,
    "How event ids and aggregate ids stand in the log: as they are, as the hash that `verify --hash-ids` shows, or not at all.",
  ),
  httpPort: number(
    "OUTRIDER_HTTP_PORT",
    0,
    [0, 65_535],
    "(a port)",
    "Where /livez, /readyz, /startupz, /metrics and /version are answered; 0: nowhere.",
  ),
  httpHost: text(
    "OUTRIDER_HTTP_HOST",
    "127.0.0.1",
    "The address to listen on for them. A kubelet and a Prometheus on another machine need 0.0.0.0.",
  ),
  readyNeeds: choice(
    "OUTRIDER_READY_NEEDS",
    ["outbox-and-broker", "outbox"],
    "outbox-and-broker" as const,
    "What must answer for /readyz to say 200. In the pod of an application that takes requests while Kafka is away: `outbox`.",
  ),
  livenessMs: number(
    "OUTRIDER_LIVENESS_MS",
    5 * minute,
    [10_000, 24 * 60 * minute],
    "ms",
    "How long a loop may be without a round before /livez fails, in addition to OUTRIDER_POLL_MAX_MS; longer than the slowest batch takes. Waiting for what is away counts as a round.",
  ),
} as const;

export const configKeys = keys satisfies Record<string, Key>;

export type KeyName = keyof typeof configKeys;
export const keyNames = Object.keys(configKeys) as KeyName[];

/** The flag of a key on the command line, or undefined for a secret. */
export function flagOf(key: Key): string | undefined {
  if (key.isSecret === true) return undefined;
  return `--${key.variable
    .replace(/^OUTRIDER_/, "")
    .toLowerCase()
    .replaceAll("_", "-")}`;
}

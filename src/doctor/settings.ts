/** The settings that the checks go by: the relay's own, so that both are started with the same. */
export interface Settings {
  readonly schema: string;
  readonly publisher: string;
  readonly delivery: "at-least-once" | "at-most-once" | "exactly-once";
  readonly inboxRetentionMs: number;
  readonly statementTimeoutMs: number;
  readonly topicTemplate: string;
  readonly topicDefault: string;
  readonly progressTopic: string;
  /** Largest record batch that the relay sends to one partition. */
  readonly recordBatchBytesMax: number;
  readonly payloadBytesMax: number;
  readonly kafkaTransactionTimeoutMs: number;
  /** How the connections are made, for what can be said without making them. */
  readonly database: { readonly host: string; readonly sslmode: string } | null;
  readonly kafka: {
    readonly brokers: readonly string[];
    readonly hasTls: boolean;
    readonly saslMechanism: string | null;
    readonly username: string | null;
  } | null;
}

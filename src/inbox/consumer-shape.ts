/**
 * A kafkajs consumer as the runner sees it. kafkajs is known by its shape and never imported, so that
 * `outrider` brings no package into an application; `test/types/consumer.ts` holds this shape against
 * the types of kafkajs 2.2.4 itself.
 */

/** A record as kafkajs decodes it. */
export interface ReceivedMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly offset: string;
  readonly headers?: Readonly<Record<string, HeaderValue | undefined>>;
}

export type HeaderValue = Buffer | string | (Buffer | string)[];

export interface ReceivedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly ReceivedMessage[];
  /** Of the last record, transaction markers included, which `messages` leaves out. */
  lastOffset(): string;
}

export interface PartitionOffsets {
  topics: { topic: string; partitions: { partition: number; offset: string }[] }[];
}

/** What `eachBatch` is given; its calls stay valid after it has returned. */
export interface BatchDelivery {
  readonly batch: ReceivedBatch;
  resolveOffset(offset: string): void;
  heartbeat(): Promise<void>;
  commitOffsetsIfNecessary(offsets: PartitionOffsets): Promise<void>;
}

export interface KafkaConsumer {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  subscribe(subscription: { topics: string[]; fromBeginning: boolean }): Promise<void>;
  run(config: {
    autoCommit: boolean;
    eachBatchAutoResolve: boolean;
    partitionsConsumedConcurrently: number;
    eachBatch(delivery: BatchDelivery): Promise<void>;
  }): Promise<void>;
  pause(partitions: { topic: string; partitions: number[] }[]): void;
  resume(partitions: { topic: string; partitions: number[] }[]): void;
  on(event: "consumer.group_join", listener: (event: { payload: GroupJoin }) => void): unknown;
  on(event: "consumer.rebalancing", listener: () => void): unknown;
  on(event: "consumer.crash", listener: (event: { payload: Crash }) => void): unknown;
  logger(): { warn(message: string, extra?: object): void; error(message: string, extra?: object): void };
}

export interface GroupJoin {
  readonly memberAssignment: Readonly<Record<string, number[]>>;
}

export interface Crash {
  readonly error: Error;
  /** Whether kafkajs starts over by itself. */
  readonly restart: boolean;
}

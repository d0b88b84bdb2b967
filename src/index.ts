/**
 * For applications: write events in your own transaction, and consume them, each just once. What is imported from here brings no npm
 * package with it; the database libraries are known by their shape.
 */
export { type EnqueueOptions, enqueue } from "./enqueue/enqueue.ts";
export type { PayloadType } from "./enqueue/payload.ts";
export type { NewEvent } from "./event/event.ts";
export { type ErrorCode, OutriderError } from "./foundation/errors.ts";
export {
  type AnsweringTransaction,
  type DrizzleSql,
  type DrizzleTransaction,
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroOrm,
  fromPg,
  fromPostgresJs,
  fromPrisma,
  fromSequelize,
  fromTypeOrm,
  type KnexTransaction,
  type KyselyTransaction,
  type MikroOrmManager,
  type PgClient,
  type PostgresJsTransaction,
  type PrismaTransaction,
  type SequelizeConnection,
  type SequelizeTransaction,
  type Transaction,
  type TypeOrmManager,
} from "./foundation/transaction.ts";
export type { ConsumedEvent } from "./inbox/consumed-event.ts";
export { type ConsumeOptions, consume, type EventConsumer } from "./inbox/consumer.ts";
export type { ConsumerAnnouncement } from "./inbox/consumer-announcements.ts";
export type { KafkaConsumer } from "./inbox/consumer-shape.ts";
export type { HandleContext } from "./inbox/event-work.ts";
export {
  type BatchOutcome,
  type EventIdSource,
  type InboxOptions,
  inbox,
  type OnceOutcome,
  type PruneOptions,
} from "./inbox/inbox.ts";
export type { PoisonedEvent, PoisonPolicy } from "./inbox/poison.ts";

/**
 * Debezium's PostgreSQL connector with its outbox event router, in Kafka Connect standalone: its settings,
 * tuned for what is measured. Pure.
 *
 * The messages are the relay's in all but a name: the payload as it stands, the aggregate as the key, the
 * event's id (as `id`, which the router always adds) and its time as headers.
 */
import type { Place } from "./stage.ts";

/**
 * `throughput`: large batches, which wait for company. `latency`: nothing waits, at half a core with nothing to do.
 * `thrifty`: the same, but it looks a tenth as often for what the log has brought, and rests in between.
 */
export type Tuning = "throughput" | "latency" | "thrifty";

type Settings = Readonly<Record<string, string>>;

const producerOf: Readonly<Record<Tuning, Settings>> = {
  throughput: { "producer.linger.ms": "5", "producer.batch.size": "262144" },
  latency: { "producer.linger.ms": "0" },
  thrifty: { "producer.linger.ms": "0" },
};

const queueOf: Readonly<Record<Tuning, Settings>> = {
  throughput: { "max.batch.size": "8192", "max.queue.size": "32768", "poll.interval.ms": "5" },
  latency: { "poll.interval.ms": "1" },
  thrifty: { "poll.interval.ms": "10" },
};

export const slot = "debezium";

export interface WorkerParts {
  readonly place: Place;
  readonly tuning: Tuning;
  readonly restPort: number;
  readonly offsetsFile: string;
}

export function workerSettings({ place, tuning, restPort, offsetsFile }: WorkerParts): Settings {
  return {
    "bootstrap.servers": place.brokers,
    listeners: `http://127.0.0.1:${restPort}`,
    "offset.storage.file.filename": offsetsFile,
    "offset.flush.interval.ms": "5000",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "producer.buffer.memory": "67108864",
    ...producerOf[tuning],
  };
}

export function connectorSettings({ place, tuning }: WorkerParts): Settings {
  const database = new URL(place.databaseUrl);
  return {
    name: "outbox",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "database.hostname": database.hostname,
    "database.port": database.port,
    "database.user": decodeURIComponent(database.username),
    "database.password": decodeURIComponent(database.password),
    "database.dbname": database.pathname.slice(1),
    "topic.prefix": "outbox",
    "plugin.name": "pgoutput",
    "slot.name": slot,
    "publication.autocreate.mode": "disabled",
    "publication.name": slot,
    "table.include.list": "public.undispatched_events",
    "snapshot.mode": "no_data",
    "tombstones.on.delete": "false",
    ...queueOf[tuning],
    transforms: "outbox",
    "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
    "transforms.outbox.table.field.event.id": "event_id",
    "transforms.outbox.table.field.event.key": "aggregate_id",
    "transforms.outbox.table.field.event.payload": "event_payload",
    "transforms.outbox.table.fields.additional.placement": "created_at:header:created_at",
    "transforms.outbox.route.by.field": "aggregate_id",
    "transforms.outbox.route.topic.replacement": place.topic,
  };
}

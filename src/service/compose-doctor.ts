/** A check-up and the live view, put together from settings. */

import type { CheckupParts } from "../doctor/doctor.ts";
import { KafkaBrokersFacts } from "../doctor/kafka-facts.ts";
import { PostgresFacts } from "../doctor/postgres-facts.ts";
import type { Settings as DoctorSettings } from "../doctor/settings.ts";
import { systemClock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import { knownMigrations } from "../outbox/migrator.ts";
import type { Overview } from "../outbox/overview.ts";
import { PostgresOverview } from "../outbox/postgres-overview.ts";
import { composeOutbox } from "./compose.ts";
import { databaseConfigOf, kafkaOptionsOf, type Settings } from "./config.ts";

/** Parts without an address are null, which a check-up reports. @throws OutriderError CONFIG_INVALID. */
export function composeDoctor(settings: Settings): CheckupParts & { close(): Promise<void> } {
  const checked = checkedSettings(settings);
  const hasDatabase = checked.database !== null;
  const outbox = hasDatabase ? composeOutbox(settings) : null;
  const known = knownMigrations().map(({ name }) => name);
  const { transactionalIdPrefix } = settings;
  return {
    settings: checked,
    database:
      outbox === null ? null : new PostgresFacts(databaseConfigOf(settings), outbox, known, systemClock),
    kafka:
      checked.kafka === null
        ? null
        : new KafkaBrokersFacts(
            kafkaOptionsOf(settings),
            settings.delivery === "exactly-once" ? { transactionalIdPrefix } : null,
          ),
    close: async () => outbox?.close(),
  };
}

function checkedSettings(settings: Settings): DoctorSettings {
  const { kafkaTls, kafkaSaslMechanism, kafkaSaslUsername } = settings;
  return {
    ...settings,
    statementTimeoutMs: settings.databaseStatementTimeoutMs,
    recordBatchBytesMax: settings.kafkaRequestBytesMax,
    database: settings.databaseUrl === null ? null : addressOf(databaseConfigOf(settings)),
    kafka:
      settings.kafkaBrokers === null
        ? null
        : {
            brokers: kafkaOptionsOf(settings).brokers,
            hasTls: kafkaTls,
            saslMechanism: kafkaSaslMechanism,
            username: kafkaSaslUsername,
          },
  };
}

function addressOf({ url, sslmode }: { url: string; sslmode: string }): { host: string; sslmode: string } {
  if (!URL.canParse(url)) throw new OutriderError("CONFIG_INVALID", "DATABASE_URL is no URL");
  const { hostname, searchParams } = new URL(url);
  return { host: hostname === "" ? (searchParams.get("host") ?? "") : hostname, sslmode };
}

/** What `outrider top` watches. @throws OutriderError CONFIG_INVALID when the address is missing. */
export function composeOverview(settings: Settings): Overview {
  const outbox = composeOutbox(settings);
  const overview = new PostgresOverview(databaseConfigOf(settings), outbox);
  return {
    sample: () => overview.sample(),
    close: async () => {
      await Promise.all([overview.close(), outbox.close()]);
    },
  };
}

/** What the settings alone show: addresses that are missing, and talk that anyone on the way can read. */
import type { Finding } from "./finding.ts";
import type { Settings } from "./settings.ts";

export function transportFindings({ database, kafka, publisher }: Settings): Finding[] {
  return [
    ...(database === null
      ? [missing("database-missing", "DATABASE_URL", "postgres://user:password@host:port/database")]
      : databaseFindings(database)),
    ...(publisher !== "kafka"
      ? []
      : kafka === null
        ? [missing("brokers-missing", "KAFKA_BROKERS", "host:port,host:port")]
        : kafkaFindings(kafka)),
  ];
}

function missing(code: string, variable: string, example: string): Finding {
  return {
    code,
    severity: "error",
    message: `${variable} is not set`,
    repair: `export ${variable}=${example}`,
  };
}

function databaseFindings({ host, sslmode }: NonNullable<Settings["database"]>): Finding[] {
  if (isNear(host)) return [];
  if (sslmode === "disable") {
    return [
      {
        code: "database-plaintext",
        severity: "warning",
        message: `the connection to PostgreSQL at ${host} is not encrypted: passwords and payloads can be read on the way`,
        repair: "export OUTRIDER_DATABASE_SSLMODE=verify-full",
      },
    ];
  }
  if (sslmode !== "require") return [];
  return [
    {
      code: "database-unverified",
      severity: "warning",
      message: `sslmode=require encrypts, but does not check that it is PostgreSQL at ${host} who answers`,
      repair: "export OUTRIDER_DATABASE_SSLMODE=verify-full",
    },
  ];
}

function kafkaFindings({ brokers, hasTls, saslMechanism }: NonNullable<Settings["kafka"]>): Finding[] {
  const far = brokers.filter((broker) => !isNear(broker.replace(/:\d+$/, "")));
  if (hasTls || far.length === 0) return [];
  const isSecretOpen = saslMechanism === "plain";
  return [
    {
      code: "kafka-plaintext",
      severity: isSecretOpen ? "error" : "warning",
      message: `the connection to Kafka at ${far.join(", ")} is not encrypted: ${isSecretOpen ? "SASL PLAIN sends the password as it is, and " : ""}payloads can be read on the way`,
      repair: "export OUTRIDER_KAFKA_TLS=true",
    },
  ];
}

/** What does not leave this machine. */
export function isNear(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    bare === "" ||
    bare === "localhost" ||
    bare === "::1" ||
    bare.startsWith("/") ||
    /^127(\.\d{1,3}){3}$/.test(bare)
  );
}

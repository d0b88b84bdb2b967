/**
 * Settings that together would send a password or an event where its owner does not want it. What
 * somebody asked for and would not get is a fault; what nobody asked for is a warning.
 */
import { parseDatabaseUrl } from "../outbox/database-config.ts";

/** The settings that say how the relay reaches PostgreSQL and Kafka. */
export interface TransportSettings {
  readonly databaseUrl: string | null;
  readonly databaseSslmode: string | null;
  readonly databaseCaFile: string | null;
  readonly databaseCertFile: string | null;
  readonly databaseKeyFile: string | null;
  readonly kafkaTls: boolean;
  readonly kafkaCaFile: string | null;
  readonly kafkaCertFile: string | null;
  readonly kafkaKeyFile: string | null;
  readonly kafkaSaslMechanism: string | null;
}

/** Certificates that would have no effect, and halves of a pair. */
export function transportFaults(settings: TransportSettings): string[] {
  const faults: string[] = [];
  const { databaseCertFile, databaseKeyFile, kafkaCertFile, kafkaKeyFile } = settings;
  if ((databaseCertFile === null) !== (databaseKeyFile === null))
    faults.push("OUTRIDER_DATABASE_CERT_FILE and OUTRIDER_DATABASE_KEY_FILE go together: set both or none");
  if ((kafkaCertFile === null) !== (kafkaKeyFile === null))
    faults.push("OUTRIDER_KAFKA_CERT_FILE and OUTRIDER_KAFKA_KEY_FILE go together: set both or none");
  if (databaseCertFile !== null || settings.databaseCaFile !== null) {
    if (databaseSslmodeOf(settings) === null)
      faults.push(
        "a certificate for PostgreSQL is set, but no sslmode, so nothing would be encrypted: set OUTRIDER_DATABASE_SSLMODE=verify-full",
      );
  }
  if ((kafkaCertFile !== null || settings.kafkaCaFile !== null) && !settings.kafkaTls)
    faults.push(
      "a certificate for Kafka is set, but OUTRIDER_KAFKA_TLS is not, so nothing would be encrypted: set OUTRIDER_KAFKA_TLS=true",
    );
  return faults;
}

export function transportWarnings(settings: TransportSettings): string[] {
  const warnings: string[] = [];
  const host = databaseHostOf(settings);
  if (host !== undefined && !isLocal(host) && databaseSslmodeOf(settings) === null)
    warnings.push(
      `the connection to PostgreSQL at ${host} is not encrypted: set OUTRIDER_DATABASE_SSLMODE=verify-full, or =disable to say that the network is trusted`,
    );
  const { kafkaSaslMechanism: mechanism } = settings;
  if (mechanism !== null && !settings.kafkaTls)
    warnings.push(
      `OUTRIDER_KAFKA_SASL_MECHANISM=${mechanism} without OUTRIDER_KAFKA_TLS=true: ${mechanism === "plain" ? "the password travels" : "events travel"} in the clear`,
    );
  return warnings;
}

/** Null when nobody has said anything about TLS, which leaves it off. */
function databaseSslmodeOf({ databaseSslmode, databaseUrl }: TransportSettings): string | null {
  if (databaseSslmode !== null || databaseUrl === null) return databaseSslmode;
  const parsed = parseDatabaseUrl(databaseUrl);
  return typeof parsed === "string" ? null : parsed.sslmode;
}

function databaseHostOf({ databaseUrl }: TransportSettings): string | undefined {
  return databaseUrl !== null && URL.canParse(databaseUrl) ? new URL(databaseUrl).hostname : undefined;
}

/** This machine: nobody else can listen on the way. An empty host is a socket. */
function isLocal(host: string): boolean {
  return (
    host === "" || host === "localhost" || host === "[::1]" || /^127\./.test(host) || host.startsWith("%2F")
  );
}

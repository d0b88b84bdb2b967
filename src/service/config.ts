/**
 * Settings: parse, report *all* faults at once, freeze. The only reader of the environment.
 *
 * A flag overrides a variable; a secret has no flag but may come from a file (`NAME_FILE`), as
 * mounted secrets do. An unknown `OUTRIDER_*` variable is a warning: it is usually a misspelling.
 */
import { readFileSync } from "node:fs";
import { validate as isCron } from "node-cron";
import type { Routing } from "../event/message.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { retentionMsMin as inboxRetentionMsMin } from "../inbox/arguments.ts";
import { type DatabaseConfig, parseDatabaseUrl, type Sslmode } from "../outbox/database-config.ts";
import type { KafkaOptions } from "../publisher/kafka.ts";
import { configKeys, flagOf, type Key, type KeyName, keyNames } from "./config-keys.ts";
import { transportFaults, transportWarnings } from "./config-transport.ts";

type Value<K extends Key> = K extends { kind: "number" }
  ? number
  : K extends { kind: "flag" }
    ? boolean
    : K extends { readonly choices: readonly (infer C)[] }
      ? C | (null extends K["default"] ? null : never)
      : string | (null extends K["default"] ? null : never);

/** Every setting by its name, with its default where nothing was given. */
export type Settings = { readonly [N in KeyName]: Value<(typeof configKeys)[N]> };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Parsed {
  readonly settings: Settings;
  readonly warnings: readonly string[];
  /** Where each value came from, for `outrider config`. */
  readonly origins: Readonly<Record<KeyName, "flag" | "environment" | "file" | "default">>;
}

/**
 * Reads settings from flags (by key name) and environment.
 * @throws OutriderError CONFIG_INVALID naming every fault, a line each.
 */
export function parseSettings(
  environment: Environment,
  flags: Readonly<Record<string, string | boolean>> = {},
): Parsed {
  const faults: string[] = [];
  const settings: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const name of keyNames) {
    const key: Key = configKeys[name];
    const [raw, origin] = rawValue(name, key, environment, flags, faults);
    settings[name] = raw === undefined ? key.default : parseValue(key, raw, faults);
    origins[name] = origin;
  }
  checkTogether(settings as Settings, faults);
  if (faults.length > 0) throw invalid(faults);
  return Object.freeze({
    settings: Object.freeze(settings) as Settings,
    warnings: [...unknownVariables(environment), ...transportWarnings(settings as Settings)],
    origins: origins as Parsed["origins"],
  });
}

function invalid(faults: readonly string[]): OutriderError {
  const list = faults.map((fault) => `  - ${fault}`).join("\n");
  return new OutriderError("CONFIG_INVALID", `${faults.length} setting(s) cannot be used:\n${list}`, {
    repair: "`outrider config` shows every setting, its bounds and where its value came from",
  });
}

function rawValue(
  name: KeyName,
  key: Key,
  environment: Environment,
  flags: Readonly<Record<string, string | boolean>>,
  faults: string[],
): [string | undefined, "flag" | "environment" | "file" | "default"] {
  const flag = key.isSecret === true ? undefined : flags[name];
  if (flag !== undefined) return [String(flag), "flag"];
  const direct = environment[key.variable];
  const file = key.isSecret === true ? environment[`${key.variable}_FILE`] : undefined;
  if (file !== undefined && file !== "") {
    if (direct !== undefined && direct !== "")
      faults.push(`${key.variable} and ${key.variable}_FILE are both set: keep one`);
    return [readText(`${key.variable}_FILE`, file, faults)?.trim(), "file"];
  }
  return direct === undefined || direct === "" ? [undefined, "default"] : [direct, "environment"];
}

function readText(variable: string, path: string, faults: string[]): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    faults.push(`${variable}: ${messageOf(error)}`);
    return undefined;
  }
}

function parseValue(key: Key, raw: string, faults: string[]): unknown {
  switch (key.kind) {
    case "number": {
      const value = Number(raw);
      if (Number.isInteger(value) && value >= key.min && value <= key.max) return value;
      faults.push(
        `${key.variable}=${shown(key, raw)}: a whole number from ${key.min} to ${key.max} (${key.unit}) is needed`,
      );
      return key.default;
    }
    case "flag":
      if (/^(true|1|yes|on)$/i.test(raw)) return true;
      if (/^(false|0|no|off)$/i.test(raw)) return false;
      faults.push(`${key.variable}=${shown(key, raw)}: true or false is needed`);
      return key.default;
    case "choice":
      if (key.choices.includes(raw)) return raw;
      faults.push(`${key.variable}=${shown(key, raw)}: one of ${key.choices.join(", ")} is needed`);
      return key.default;
    case "cron":
      if (!isCron(raw))
        faults.push(`${key.variable}=${raw}: this is no cron expression (six fields: seconds first)`);
      return raw;
    case "file":
      readText(key.variable, raw, faults);
      return raw;
    default:
      return raw;
  }
}

function shown(key: Key, raw: string): string {
  return key.isSecret === true ? "(secret)" : JSON.stringify(raw);
}

/** Faults that only two settings together can show. */
function checkTogether(settings: Settings, faults: string[]): void {
  const pairs: readonly [KeyName, KeyName][] = [
    ["pollMinMs", "pollMaxMs"],
    ["backoffMinMs", "backoffMaxMs"],
    ["blockRetryMinMs", "blockRetryMaxMs"],
  ];
  for (const [low, high] of pairs) {
    if ((settings[low] as number) > (settings[high] as number)) {
      faults.push(`${configKeys[low].variable} is larger than ${configKeys[high].variable}`);
    }
  }
  if (settings.inboxRetentionMs > 0 && settings.inboxRetentionMs < inboxRetentionMsMin) {
    faults.push(`OUTRIDER_INBOX_RETENTION_MS is neither 0 nor at least ${inboxRetentionMsMin} ms (an hour)`);
  }
  if (
    settings.kafkaSaslMechanism !== null &&
    (settings.kafkaSaslUsername === null || settings.kafkaSaslPassword === null)
  ) {
    faults.push(
      "OUTRIDER_KAFKA_SASL_MECHANISM needs OUTRIDER_KAFKA_SASL_USERNAME and OUTRIDER_KAFKA_SASL_PASSWORD (or its _FILE)",
    );
  }
  if (settings.delivery === "exactly-once" && settings.publisher !== "kafka")
    faults.push(
      "OUTRIDER_DELIVERY=exactly-once needs OUTRIDER_PUBLISHER=kafka: nothing else has transactions",
    );
  for (const broker of settings.kafkaBrokers === null ? [] : brokersOf(settings.kafkaBrokers)) {
    if (!/^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(broker))
      faults.push(`KAFKA_BROKERS: "${broker}" is no host:port`);
  }
  if (settings.databaseUrl !== null) {
    const parsed = parseDatabaseUrl(settings.databaseUrl);
    if (typeof parsed === "string") faults.push(`DATABASE_URL: ${parsed}`);
    else if (parsed.caFile !== null) readText("DATABASE_URL: sslrootcert", parsed.caFile, faults);
  }
  faults.push(...transportFaults(settings));
}

/** Variables that look like settings and are none. */
export function unknownVariables(environment: Environment): string[] {
  const known = new Set(
    keyNames.flatMap((name) => {
      const key: Key = configKeys[name];
      return key.isSecret === true ? [key.variable, `${key.variable}_FILE`] : [key.variable];
    }),
  );
  return Object.keys(environment)
    .filter((variable) => variable.startsWith("OUTRIDER_") && !known.has(variable))
    .map((variable) => `${variable} is no setting of Outrider and has no effect`);
}

function brokersOf(list: string): string[] {
  return list
    .split(",")
    .map((broker) => broker.trim())
    .filter((broker) => broker !== "");
}

const fileText = (path: string | null): string | undefined =>
  path === null ? undefined : readFileSync(path, "utf8");

/** @throws OutriderError CONFIG_INVALID when DATABASE_URL is missing. */
export function databaseConfigOf(settings: Settings): DatabaseConfig {
  if (settings.databaseUrl === null)
    throw invalid(["DATABASE_URL is missing: postgres://user:password@host:port/database"]);
  const parsed = parseDatabaseUrl(settings.databaseUrl);
  if (typeof parsed === "string") throw invalid([`DATABASE_URL: ${parsed}`]);
  return {
    url: parsed.url,
    schema: settings.schema,
    sslmode: (settings.databaseSslmode ?? parsed.sslmode ?? "disable") as Sslmode,
    ca: fileText(settings.databaseCaFile ?? parsed.caFile),
    cert: fileText(settings.databaseCertFile),
    key: fileText(settings.databaseKeyFile),
    connectTimeoutMs: settings.databaseConnectTimeoutMs,
    statementTimeoutMs: settings.databaseStatementTimeoutMs,
  };
}

/** @throws OutriderError CONFIG_INVALID when KAFKA_BROKERS is missing. */
export function kafkaOptionsOf(settings: Settings): KafkaOptions {
  if (settings.kafkaBrokers === null)
    throw invalid(["KAFKA_BROKERS is missing: host:port,host:port (or set OUTRIDER_PUBLISHER=stdout)"]);
  const {
    kafkaSaslMechanism: mechanism,
    kafkaSaslUsername: username,
    kafkaSaslPassword: password,
  } = settings;
  return {
    brokers: brokersOf(settings.kafkaBrokers),
    clientId: settings.kafkaClientId,
    tls: settings.kafkaTls
      ? {
          ca: fileText(settings.kafkaCaFile),
          cert: fileText(settings.kafkaCertFile),
          key: fileText(settings.kafkaKeyFile),
        }
      : null,
    sasl:
      mechanism === null || username === null || password === null ? null : { mechanism, username, password },
    connectionTimeoutMs: settings.kafkaConnectTimeoutMs,
    requestTimeoutMs: settings.kafkaRequestTimeoutMs,
    compression: settings.kafkaCompression,
    requestBytesMax: settings.kafkaRequestBytesMax,
  };
}

export function routingOf(settings: Settings): Routing {
  return { topicTemplate: settings.topicTemplate, topicDefault: settings.topicDefault };
}

/** Every secret in effect, and the password inside DATABASE_URL: what no log line may hold. */
export function secretsOf(settings: Settings): string[] {
  const given = keyNames.flatMap((name) => {
    const key: Key = configKeys[name];
    const value = settings[name];
    return key.isSecret === true && typeof value === "string" ? [value] : [];
  });
  return given.flatMap((secret) => {
    if (!URL.canParse(secret)) return [secret];
    const { password } = new URL(secret);
    return password === "" ? [secret] : [secret, password, decoded(password)];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray percent sign: it stands for itself.
    return text;
  }
}

export interface ShownSetting {
  readonly variable: string;
  readonly flag: string | undefined;
  readonly value: string | number | boolean | null;
  readonly origin: string;
}

/** The effective settings with every secret masked; the user part of a URL stays readable. */
export function showSettings({ settings, origins }: Parsed): ShownSetting[] {
  return keyNames.map((name) => {
    const key: Key = configKeys[name];
    const value = settings[name];
    const masked = key.isSecret === true && typeof value === "string" ? mask(name, value) : value;
    return { variable: key.variable, flag: flagOf(key), value: masked, origin: origins[name] };
  });
}

/** Only an address is shown in part: a password with a colon in it would pass for a URL, too. */
function mask(name: KeyName, secret: string): string {
  if (name !== "databaseUrl" || !URL.canParse(secret)) return "********";
  const url = new URL(secret);
  return `${url.protocol}//${url.username}${url.password === "" ? "" : ":********"}@${url.host}${url.pathname}`;
}

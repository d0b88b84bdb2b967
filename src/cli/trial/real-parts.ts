/** PostgreSQL and Kafka for a trial, by the ladder that tests use as well. */
import { startKafka, startPostgres } from "../../environment/environment.ts";
import { OutriderError } from "../../foundation/errors.ts";
import type { Environment } from "../../service/config.ts";
import { settleAll } from "./settle-all.ts";
import type { UndoList } from "./undo-list.ts";

export type Destination = "kafka" | "stdout";

export interface RealParts {
  readonly to: Destination;
  /** Leads to PostgreSQL and, unless events go to standard output, to Kafka. */
  readonly environment: Environment;
}

export interface PartTools {
  readonly progress: { say(text: string): void };
  readonly undoList: UndoList;
  readonly environment: Environment;
}

/** `to` undefined: Kafka, or standard output where no Kafka can be had. @throws OutriderError PART_MISSING. */
export async function startParts(to: Destination | undefined, tools: PartTools): Promise<RealParts> {
  const [url, brokers] = await settleAll<[string, string | undefined]>([
    startDatabaseServer(tools),
    to === "stdout" ? Promise.resolve(undefined) : startBroker(to, tools),
  ]);
  // A file would contradict the address that is set here.
  const { DATABASE_URL_FILE: _, ...inherited } = tools.environment;
  const environment = { ...inherited, DATABASE_URL: url };
  if (brokers === undefined) return { to: "stdout", environment };
  return { to: "kafka", environment: { ...environment, KAFKA_BROKERS: brokers } };
}

async function startDatabaseServer({ progress, undoList }: PartTools): Promise<string> {
  const postgres = await startPostgres({ onProgress: (text) => progress.say(text) });
  undoList.add("stop PostgreSQL", () => postgres.stop());
  progress.say(`PostgreSQL ${postgres.version} (${postgres.kind})`);
  return postgres.url;
}

/** The brokers' addresses; undefined where there can be no Kafka and nobody has insisted on one. */
async function startBroker(
  to: "kafka" | undefined,
  { progress, undoList }: PartTools,
): Promise<string | undefined> {
  try {
    const kafka = await startKafka({ onProgress: (text) => progress.say(text) });
    const brokers = kafka.brokers.join(",");
    undoList.add("stop Kafka", () => kafka.stop());
    progress.say(`Kafka at ${brokers} (${kafka.kind})`);
    return brokers;
  } catch (error) {
    const isMissing = error instanceof OutriderError && error.code === "PART_MISSING";
    if (to === "kafka" || !isMissing) throw error;
    const repair = error.repair === undefined ? "" : ` (${error.repair})`;
    progress.say(`${error.message}; so events go to standard output${repair}`);
    return undefined;
  }
}

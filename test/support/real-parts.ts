/** One PostgreSQL and one Kafka for the whole run; tests get their addresses with `inject`. */
import type { TestProject } from "vitest/node";
import { startKafka, startPostgres } from "../../src/environment/environment.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Of a superuser, on an empty database that tests leave alone: see `freshDatabase`. */
    readonly postgresUrl: string;
    /** "host:port", several with commas between them. */
    readonly kafkaBrokers: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const onProgress = (text: string) => process.stderr.write(`${text} ...\n`);
  // Nothing here outlives the run, so nothing needs to reach the disk.
  const settings = { fsync: "off", max_prepared_transactions: "10" };
  const starts = await Promise.allSettled([
    startPostgres({ settings, onProgress }),
    startKafka({ onProgress }),
  ]);
  const [postgres, kafka] = starts;
  const stop = async () => {
    await Promise.all(starts.map((start) => (start.status === "fulfilled" ? start.value.stop() : undefined)));
  };
  if (postgres.status === "rejected" || kafka.status === "rejected") {
    await stop();
    throw postgres.status === "rejected" ? postgres.reason : (kafka as PromiseRejectedResult).reason;
  }
  project.provide("postgresUrl", postgres.value.url);
  project.provide("kafkaBrokers", kafka.value.brokers.join(","));
  return stop;
}

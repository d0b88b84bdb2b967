/** What the figures were measured on: without it they mean nothing. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { kafkaVersion } from "../../src/environment/kafka-jars.ts";
import { rounded } from "../../src/foundation/figures.ts";
import { version } from "../../src/service/version.ts";
import { debeziumVersion } from "./debezium.ts";
import type { Stage } from "./stage.ts";

export interface Machine {
  readonly date: string;
  readonly cores: number;
  readonly processor: string;
  readonly memoryGigabytes: number;
  readonly versions: Readonly<Record<string, string>>;
  /** The settings of PostgreSQL that decide what a commit costs: its defaults, save `wal_level` with peers. */
  readonly postgresSettings: Readonly<Record<string, string>>;
  /** Runnable processes of the whole machine, over the last minute: at the start and at the end. */
  readonly loadAverage: { readonly before: number; readonly after: number };
}

const telling = [
  "wal_level",
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "shared_buffers",
  "max_wal_size",
];

export async function describeMachine(
  stage: Stage,
  loadBefore: number,
  isWithPeers: boolean,
): Promise<Machine> {
  const names = telling.map((name) => `'${name}'`).join();
  const rows = await stage.ask<{ name: string; value: string }>(
    `select name, current_setting(name) as value from pg_settings where name in (${names}) order by name`,
  );
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "",
    memoryGigabytes: rounded(totalmem() / 2 ** 30),
    versions: {
      outrider: version,
      "Node.js": process.version.slice(1),
      PostgreSQL: stage.postgres.version,
      "Apache Kafka": kafkaVersion,
      kafkajs: versionOf("kafkajs"),
      pg: versionOf("pg"),
      ...(isWithPeers ? { Debezium: debeziumVersion } : {}),
    },
    postgresSettings: Object.fromEntries(rows.map(({ name, value }) => [name, value])),
    loadAverage: { before: loadBefore, after: loadNow() },
  };
}

export function loadNow(): number {
  return rounded(loadavg()[0] ?? 0, 1);
}

function versionOf(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

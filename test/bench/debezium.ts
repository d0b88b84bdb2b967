/** Debezium as a process of our own: Kafka Connect standalone with one connector. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "../../src/environment/free-port.ts";
import { kafkaVersion } from "../../src/environment/kafka-jars.ts";
import { propertiesText } from "../../src/environment/kafka-properties.ts";
import { type JarSet, mavenJars } from "../../src/environment/maven-jars.ts";
import { reaper } from "../../src/environment/reaper.ts";
import { ServerProcess } from "../../src/environment/server-process.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { connectorSettings, slot, type Tuning, workerSettings } from "./debezium-properties.ts";
import type { Place } from "./stage.ts";

export const debeziumVersion = "3.7.0.Final";

const installMaven = "install Maven (Debian: apt-get install maven), or measure without --peers";
const jars: JarSet = {
  title: `Debezium ${debeziumVersion}`,
  name: `debezium-${debeziumVersion}-connect-${kafkaVersion}`,
  artifacts: [
    ["io.debezium", "debezium-connector-postgres", debeziumVersion],
    ["org.apache.kafka", "connect-runtime", kafkaVersion],
    ["org.apache.kafka", "connect-json", kafkaVersion],
    ["org.slf4j", "slf4j-simple", "1.7.36"],
  ],
  repair: { withoutMaven: installMaven, withoutRepository: installMaven },
};

/** As a server in production would have it: both compilers, and memory enough. */
const javaFlags = ["-Xms512m", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"];

export interface Debezium {
  readonly pid: number;
  end(): Promise<void>;
}

export function fetchDebezium(say: (text: string) => void): Promise<string> {
  return mavenJars(jars, say);
}

/** What it reads from; whatever is written from now on reaches the topic once it runs. */
export async function prepareDatabase({ databaseUrl }: Place): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    await client.query(`create publication ${slot} for table undispatched_events with (publish = 'insert')`);
    await client.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  });
}

/** Resolves when it reads from its slot. */
export async function startDebezium(place: Place, tuning: Tuning): Promise<Debezium> {
  const classpath = join(await fetchDebezium(() => undefined), "*");
  const directory = await reaper().makeDirectory("debezium");
  const [worker, connector] = ["worker", "connector"].map((name) =>
    join(directory, `${name}.properties`),
  ) as [string, string];
  const parts = { place, tuning, restPort: await freePort(), offsetsFile: join(directory, "offsets") };
  await writeFile(worker, propertiesText(workerSettings(parts)));
  await writeFile(connector, propertiesText(connectorSettings(parts)));
  const main = "org.apache.kafka.connect.cli.ConnectStandalone";
  const connect = new ServerProcess({
    name: "Debezium",
    file: "java",
    args: [...javaFlags, "-cp", classpath, main, worker, connector],
    logFile: join(directory, "connect.log"),
    lastSignal: "SIGKILL",
    probe: () => untilActive(place),
  });
  const end = async () => {
    await connect.kill();
    await reaper().removeDirectory(directory);
    await dropSlot(place);
  };
  try {
    await connect.start();
  } catch (error) {
    await end();
    throw error;
  }
  return { pid: connect.pid ?? -1, end };
}

async function untilActive({ databaseUrl }: Place): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    const { rows } = await client.query("select from pg_replication_slots where slot_name = $1 and active", [
      slot,
    ]);
    if (rows.length === 0) throw new Error("nobody reads from the slot");
  });
}

/** PostgreSQL notices the end of its reader a moment after it. */
async function dropSlot({ databaseUrl }: Place): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    const drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active";
    const left = "select from pg_replication_slots where database = current_database()";
    for (;;) {
      await client.query(`${drop} and database = current_database()`);
      if ((await client.query(left)).rows.length === 0) return;
      await systemClock.sleep(50);
    }
  });
}

export async function withClient<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The services of `examples/services` with a relay between them, run as a reader would run them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import ts from "typescript";
import { afterEach, expect, inject, it } from "vitest";
import { migratedDatabase } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const root = path.resolve(import.meta.dirname, "../..");
const running = new Set<ChildProcess>();

afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await RelayProcess.endAll();
});

/** Starts an example; resolves with it when it has printed its first line. */
async function run(file: string, environment: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--import", "tsx", `examples/services/${file}`], {
    cwd: root,
    env: { PATH: process.env.PATH, TSX_TSCONFIG_PATH: "examples/tsconfig.json", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.add(child);
  child.on("exit", () => running.delete(child));
  const printed = new Promise((resolve) => createInterface({ input: child.stdout }).on("line", resolve));
  await Promise.race([
    printed,
    once(child, "exit").then(([code]) => {
      if (code !== 0) throw new Error(`${file} ended with ${code}`);
    }),
  ]);
  return child;
}

it("every service does its part once for every order, in the order of its events", {
  timeout: 90_000,
}, async () => {
  const database = await migratedDatabase();
  const prefix = uniqueTopic("shop");
  const topic = `${prefix}.order`;
  await createTopics(inject("kafkaBrokers"), [{ topic, partitions: 3 }]);
  const environment = {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: inject("kafkaBrokers"),
    ORDERS_TOPIC: topic,
  };
  const relay = new RelayProcess({ ...environment, OUTRIDER_TOPIC_TEMPLATE: `${prefix}.\${aggregate_type}` });
  await relay.heard("relay-started");
  const services = await Promise.all(
    ["billing.ts", "billing.ts", "shipping.ts"].map((file) => run(file, environment)),
  );
  await run("orders.ts", environment);
  const client = new pg.Client(database.url);
  await client.connect();
  const counted = async () => {
    const { rows } = await client.query<{ invoices: number; cents: number; steps: string[] }>(
      `select (select count(*)::int from invoices) as invoices,
              (select sum(total_cents)::int from invoices) as cents,
              (select array_agg(steps) from
                (select string_agg(event_type, ' ' order by step) as steps from shipment_steps group by order_id) s) as steps`,
    );
    return rows[0];
  };
  while ((await counted())?.invoices !== 10 || (await counted())?.steps?.join(" ").split(" ").length !== 20);
  await Promise.all(
    services.map(async (service) => {
      const exited = once(service, "exit");
      service.kill("SIGTERM");
      expect(await exited).toEqual([0, null]);
    }),
  );
  expect(await counted()).toEqual({
    invoices: 10,
    cents: 5_500,
    steps: Array(10).fill("OrderPlaced OrderPacked"),
  });
  await client.end();
  await database.drop();
});

it("all examples compile", () => {
  const file = path.join(root, "examples/tsconfig.json");
  const { config } = ts.readConfigFile(file, ts.sys.readFile);
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, path.dirname(file));
  expect(fileNames.length).toBeGreaterThanOrEqual(6);
  const program = ts.createProgram(fileNames, options);
  const faults = ts.getPreEmitDiagnostics(program).map(({ messageText }) => messageText);
  expect(faults).toEqual([]);
});

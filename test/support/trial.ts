/** `outrider demo` and `outrider bench` as their users run them: processes, on the servers they are given. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { inject } from "vitest";

export type Trial = "demo" | "bench";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

export function startTrial(
  trial: Trial,
  url: string,
  flags: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): ChildProcess {
  return spawn(process.execPath, [entry, trial, ...flags], {
    env: { PATH: process.env.PATH, DATABASE_URL: url, KAFKA_BROKERS: inject("kafkaBrokers"), ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

export function runTrial(trial: Trial, url: string, ...flags: readonly string[]) {
  return endOf(startTrial(trial, url, flags));
}

export async function endOf(started: ChildProcess) {
  const { stdout, stderr, ...child } = pipesOf(started);
  const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), child.closed]);
  return { out, err, code };
}

export function pipesOf(child: ChildProcess) {
  if (child.stdout === null || child.stderr === null) throw new Error("the pipes were asked for");
  return { child, stdout: child.stdout, stderr: child.stderr, closed: once(child, "close") };
}

export async function rowsOf(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

/** Databases and topics of trials that are there. */
export async function leftBehind(trial: Trial, url: string): Promise<readonly unknown[]> {
  const databases = `select datname from pg_database where datname like 'outrider_${trial}_%'`;
  const kafka = new Kafka({ brokers: inject("kafkaBrokers").split(","), logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`outrider-${trial}-`));
    return [...(await rowsOf(url, databases)), ...topics];
  } finally {
    await admin.disconnect();
  }
}

/** Apache Kafka of our own: one to three KRaft nodes as plain Java processes on 127.0.0.1. */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { accepts } from "./kafka-answers.ts";
import { kafkaJars, requireJava } from "./kafka-jars.ts";
import { kafkaProperties, type NamedListener, type NodePorts, propertiesText } from "./kafka-properties.ts";
import { reaper } from "./reaper.ts";
import { runCommand } from "./run-command.ts";
import { type OwnProcess, ServerProcess } from "./server-process.ts";

/** Somebody who may log in with SCRAM-SHA-512 as soon as the brokers are up. */
export interface ScramUser {
  readonly name: string;
  readonly password: string;
}

export interface ClusterOptions {
  readonly brokerCount: number;
  readonly advertisedPorts: readonly number[];
  readonly properties: Readonly<Record<string, string>>;
  readonly listeners: readonly NamedListener[];
  readonly scramUsers: readonly ScramUser[];
  readonly javaFlags: readonly string[];
  readonly onProgress: (text: string) => void;
}

export interface KafkaCluster {
  readonly brokers: readonly string[];
  /** One a broker; where a proxy on the advertised port has to lead to. Empty without such ports. */
  readonly behindProxy: readonly string[];
  readonly processes: readonly OwnProcess[];
  stop(): Promise<void>;
}

/** The first compiler only: a third less work to start, and peak speed is not what tests wait for. */
const light = ["-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dlog4j2.level=OFF"];

export async function startKafkaCluster(options: ClusterOptions): Promise<KafkaCluster> {
  await requireJava();
  const jars = join(await kafkaJars(options.onProgress), "*");
  options.onProgress("starting Kafka");
  const directory = await reaper().makeDirectory("kafka");
  const ports = await Promise.all(
    Array.from({ length: options.brokerCount }, (_, i) => choosePorts(options.advertisedPorts[i])),
  );
  const addresses = ports.map((p) => `127.0.0.1:${p.internal}`);
  const configs = await writeConfigs(directory, ports, options);
  const java = (name: string, config: string): ServerProcess =>
    new ServerProcess({
      name,
      file: "java",
      args: [...light, ...quiet, ...options.javaFlags, "-cp", jars, "kafka.Kafka", config],
      logFile: `${config}.log`,
      lastSignal: "SIGKILL",
      probe: () => accepts(addresses),
    });
  const processes = configs.map((config, i) => java(`Kafka broker ${i + 1}`, config));
  const stop = async () => {
    await Promise.all(processes.map((broker) => broker.kill()));
    await reaper().removeDirectory(directory);
  };
  try {
    const cluster = clusterId();
    const format = [...light, ...quiet, "-cp", jars, "kafka.tools.StorageTool", "format"];
    for (const { name, password } of options.scramUsers)
      format.push("--add-scram", `SCRAM-SHA-512=[name=${name},password=${password}]`);
    await Promise.all(configs.map((config) => runCommand("java", [...format, "-t", cluster, "-c", config])));
    await Promise.all(processes.map((broker) => broker.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  const behindProxy = ports.flatMap((p) => (p.external ? [`127.0.0.1:${p.external.listen}`] : []));
  return { brokers: addresses, behindProxy, processes, stop };
}

export async function choosePorts(advertised: number | undefined): Promise<NodePorts> {
  const [internal, controller] = await Promise.all([freePort(), freePort()]);
  if (advertised === undefined) return { internal, controller };
  return { internal, controller, external: { listen: await freePort(), advertised } };
}

function writeConfigs(
  directory: string,
  ports: readonly NodePorts[],
  { properties, listeners }: ClusterOptions,
): Promise<readonly string[]> {
  return Promise.all(
    ports.map(async (_, i) => {
      const home = join(directory, `broker-${i + 1}`);
      await mkdir(home);
      const config = join(home, "server.properties");
      const logDirectory = join(home, "log");
      const settings = { node: i + 1, ports, logDirectory, listeners, own: properties };
      await writeFile(config, propertiesText(kafkaProperties(settings)));
      return config;
    }),
  );
}

/** 16 random bytes as Kafka writes them; a leading dash would read as an option. */
function clusterId(): string {
  const id = randomBytes(16).toString("base64url");
  return id.startsWith("-") ? clusterId() : id;
}

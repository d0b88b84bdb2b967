/** Kafka's own command-line tools, run as a person would run them. */
import { join } from "node:path";
import { kafkaJars } from "../../src/environment/kafka-jars.ts";
import { runCommand } from "../../src/environment/run-command.ts";

const tools: Readonly<Record<string, string>> = {
  "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
  "kafka-configs.sh": "kafka.admin.ConfigCommand",
  "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
};

/** Runs a command line that has no quotes in it. @throws Error when it is no tool's, or fails. */
export async function runKafkaTool(commandLine: string): Promise<void> {
  const [script = "", ...args] = commandLine.split(" ");
  const main = tools[script];
  if (main === undefined) throw new Error(`no tool of Kafka's: ${commandLine}`);
  const jars = await kafkaJars(() => undefined);
  await runCommand("java", ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", join(jars, "*"), main, ...args]);
}

/** Apache Kafka itself, and the Java that it runs on. */
import { OutriderError } from "../foundation/errors.ts";
import { type JarSet, mavenJars } from "./maven-jars.ts";
import { tryCommand } from "./run-command.ts";

export const kafkaVersion = "4.1.1";
const javaMajorMin = 17;

/** 54 MB. slf4j-simple prints what Kafka calls errors, and nothing else, so that a failed start has a reason. */
const jars: JarSet = {
  title: `Apache Kafka ${kafkaVersion}`,
  name: `kafka-${kafkaVersion}`,
  artifacts: [
    ["org.apache.kafka", "kafka_2.13", kafkaVersion],
    ["org.apache.kafka", "kafka-tools", kafkaVersion],
    ["org.slf4j", "slf4j-simple", "1.7.36"],
  ],
  repair: {
    withoutMaven:
      "set KAFKA_BROKERS, or start a container engine, or install Maven (Debian: apt-get install maven)",
    withoutRepository:
      "see that Maven reaches a repository (a mirror goes into ~/.m2/settings.xml), or set KAFKA_BROKERS",
  },
};

/** The directory of the jars. Throws PART_MISSING. */
export function kafkaJars(onProgress: (text: string) => void): Promise<string> {
  return mavenJars(jars, onProgress);
}

/** Throws PART_MISSING unless a Java that Kafka accepts answers. */
export async function requireJava(): Promise<void> {
  const answer = await tryCommand("java", ["-version"]);
  const major = Number(/version "(\d+)/.exec(answer?.output ?? "")?.[1] ?? 0);
  if (major >= javaMajorMin) return;
  const found = major === 0 ? "java does not run here" : `java here is version ${major}`;
  throw new OutriderError("PART_MISSING", `no Kafka: it needs Java ${javaMajorMin} or newer, and ${found}`, {
    repair:
      "set KAFKA_BROKERS, or start a container engine, or install Java (Debian: apt-get install openjdk-17-jre-headless)",
  });
}

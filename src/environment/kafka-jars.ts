/**
 * Apache Kafka itself, from Maven Central, kept in the user's cache. Two processes may fetch at once:
 * each fills a directory of its own and renames it into place; whoever comes second throws his away.
 */
import { access, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { runCommand, tryCommand } from "./run-command.ts";

export const kafkaVersion = "4.1.1";
const javaMajorMin = 17;

const dependency = (group: string, artifact: string, version: string) =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;

/** slf4j-simple prints what Kafka calls errors, and nothing else, so that a failed start has a reason. */
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>outrider</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    ${dependency("org.apache.kafka", "kafka_2.13", kafkaVersion)}
    ${dependency("org.apache.kafka", "kafka-tools", kafkaVersion)}
    ${dependency("org.slf4j", "slf4j-simple", "1.7.36")}
  </dependencies>
</project>
`;

/** The directory of the jars; downloads them (54 MB) when this user has not got them yet. */
export async function kafkaJars(onProgress: (text: string) => void): Promise<string> {
  const home = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "outrider");
  const kept = join(home, `kafka-${kafkaVersion}`);
  if (await exists(kept)) return kept;
  if ((await tryCommand("mvn", ["--version"]))?.status !== 0) {
    throw new OutriderError(
      "PART_MISSING",
      "no Kafka: Maven (mvn), which would fetch it, does not run here",
      {
        repair:
          "set KAFKA_BROKERS, or start a container engine, or install Maven (Debian: apt-get install maven)",
      },
    );
  }
  onProgress(`fetching Apache Kafka ${kafkaVersion} with Maven, once`);
  await mkdir(home, { recursive: true });
  const partial = await mkdtemp(join(home, "partial-"));
  try {
    await writeFile(join(partial, "pom.xml"), pom);
    const jars = join(partial, "jars");
    await fetchInto(jars, partial);
    await rename(jars, kept).catch(async (error: unknown) => {
      if (!(await exists(kept))) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return kept;
}

async function fetchInto(jars: string, directory: string): Promise<void> {
  const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${jars}`];
  try {
    await runCommand("mvn", ["-B", "-q", ...goal], { cwd: directory });
  } catch (cause) {
    throw new OutriderError("PART_MISSING", `Maven could not fetch Apache Kafka: ${messageOf(cause)}`, {
      repair:
        "see that Maven reaches a repository (a mirror goes into ~/.m2/settings.xml), or set KAFKA_BROKERS",
      cause,
    });
  }
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

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

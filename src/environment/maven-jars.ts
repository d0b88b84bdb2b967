/**
 * Java programs from Maven Central, kept in the user's cache. Two processes may fetch at once: each fills
 * a directory of its own and renames it into place; whoever comes second throws his away.
 */
import { access, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { runCommand, tryCommand } from "./run-command.ts";

export interface JarSet {
  /** For messages: "Apache Kafka 4.1.1". */
  readonly title: string;
  /** Of its directory in the cache; another version has another one. */
  readonly name: string;
  readonly artifacts: readonly Artifact[];
  /** What to do where Maven does not run, or fetches nothing. */
  readonly repair: { readonly withoutMaven: string; readonly withoutRepository: string };
}

type Artifact = readonly [group: string, name: string, version: string];

/** The directory of the jars; downloads them when this user has not got them yet. Throws PART_MISSING. */
export async function mavenJars(set: JarSet, onProgress: (text: string) => void): Promise<string> {
  const home = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "outrider");
  const kept = join(home, set.name);
  if (await exists(kept)) return kept;
  if ((await tryCommand("mvn", ["--version"]))?.status !== 0) {
    throw new OutriderError(
      "PART_MISSING",
      `no ${set.title}: Maven (mvn), which would fetch it, does not run here`,
      { repair: set.repair.withoutMaven },
    );
  }
  onProgress(`fetching ${set.title} with Maven, once`);
  await mkdir(home, { recursive: true });
  const partial = await mkdtemp(join(home, "partial-"));
  try {
    await writeFile(join(partial, "pom.xml"), pomOf(set.artifacts));
    const jars = join(partial, "jars");
    await fetchInto(jars, partial, set);
    await rename(jars, kept).catch(async (error: unknown) => {
      if (!(await exists(kept))) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return kept;
}

function pomOf(artifacts: readonly Artifact[]): string {
  const dependencies = artifacts.map(
    ([group, name, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`,
  );
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>outrider</groupId><artifactId>parts</artifactId><version>1</version>
  <dependencies>
    ${dependencies.join("\n    ")}
  </dependencies>
</project>
`;
}

async function fetchInto(jars: string, directory: string, { title, repair }: JarSet): Promise<void> {
  const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${jars}`];
  try {
    await runCommand("mvn", ["-B", "-q", ...goal], { cwd: directory });
  } catch (cause) {
    throw new OutriderError("PART_MISSING", `Maven could not fetch ${title}: ${messageOf(cause)}`, {
      repair: repair.withoutRepository,
      cause,
    });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

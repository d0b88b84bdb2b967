/** The servers that migrations are tried on: the one of the run, and an older installed one where there is one. */
import { startPostgres } from "../../src/environment/environment.ts";
import { messageOf, OutriderError } from "../../src/foundation/errors.ts";

export interface PostgresServer {
  readonly label: string;
  readonly url: string;
  stop(): Promise<void>;
}

export async function postgresServers(givenUrl: string): Promise<PostgresServer[]> {
  const given = { label: "the server of this run", url: givenUrl, stop: async () => undefined };
  try {
    const installed = await startPostgres({ flavour: "installed" });
    return [given, { label: "the installed server", url: installed.url, stop: () => installed.stop() }];
  } catch (error) {
    if (!(error instanceof OutriderError && error.code === "PART_MISSING")) throw error;
    console.info(`only one PostgreSQL is tried: ${messageOf(error)}`);
    return [given];
  }
}

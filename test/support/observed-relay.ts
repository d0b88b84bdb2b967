/** A relay process with its HTTP endpoint on, and what its pages say. */
import { freePort } from "../../src/environment/free-port.ts";
import { type Family, readExposition } from "./exposition.ts";
import { RelayProcess } from "./relay-process.ts";

export interface ReadPage {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface ShownCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly state: string;
  readonly forMs: number;
}

export const pagePaths = ["/livez", "/readyz", "/startupz", "/metrics", "/version"] as const;

export class ObservedRelay {
  readonly process: RelayProcess;
  readonly origin: string;

  static async start(environment: Readonly<Record<string, string>>): Promise<ObservedRelay> {
    const port = await freePort();
    return new ObservedRelay({ ...environment, OUTRIDER_HTTP_PORT: String(port) }, port);
  }

  private constructor(environment: Readonly<Record<string, string>>, port: number) {
    this.process = new RelayProcess(environment);
    this.origin = `http://127.0.0.1:${port}`;
  }

  async read(path: string, method = "GET"): Promise<ReadPage> {
    const response = await fetch(`${this.origin}${path}`, { method });
    const type = response.headers.get("content-type") ?? "";
    return { status: response.status, type, body: await response.text() };
  }

  /** The status of every page. */
  async statuses(): Promise<Record<(typeof pagePaths)[number], number>> {
    const read = await Promise.all(pagePaths.map(async (path) => [path, (await this.read(path)).status]));
    return Object.fromEntries(read);
  }

  /** The checks of a page, by name. */
  async checks(path: string): Promise<Record<string, ShownCheck>> {
    const { checks } = JSON.parse((await this.read(`${path}?verbose`)).body) as { checks: ShownCheck[] };
    return Object.fromEntries(checks.map((check) => [check.name, check]));
  }

  async metrics(): Promise<Map<string, Family>> {
    return readExposition((await this.read("/metrics")).body);
  }

  /** Resolves once the endpoint answers: the process has come that far. */
  async answers(): Promise<void> {
    while (
      !(await this.read("/livez").then(
        () => true,
        () => false,
      ))
    )
      await nextTurn();
  }

  /** Resolves once the page answers so. */
  async until(path: string, status: number): Promise<void> {
    while ((await this.read(path)).status !== status) await nextTurn();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

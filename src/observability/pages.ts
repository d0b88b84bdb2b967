/** The pages of the HTTP endpoint: what a probe, a scraper and a person with curl get to read. */
import type { Health, Verdict } from "./health.ts";
import { json, type Page, type Route, text } from "./http-endpoint.ts";
import type { Metrics } from "./metrics.ts";
import { expositionType } from "./registry.ts";

export interface Identity {
  readonly version: string;
  readonly instance: string;
}

export function pagesOf(
  health: Health,
  metrics: Metrics,
  identity: Identity,
): Readonly<Record<string, Route>> {
  return {
    "/livez": (isVerbose) => pageOf(health.live(), isVerbose),
    "/readyz": (isVerbose) => pageOf(health.ready(), isVerbose),
    "/startupz": (isVerbose) => pageOf(health.started(), isVerbose),
    "/metrics": async () => ({ status: 200, contentType: expositionType, body: await metrics.render() }),
    "/version": () => json(200, { name: "outrider", ...identity, node: process.version }),
  };
}

/** `ok`, or the checks that failed; with `?verbose` every check as JSON. */
function pageOf({ isOk, checks }: Verdict, isVerbose: boolean): Page {
  const status = isOk ? 200 : 503;
  if (isVerbose) {
    const shown = checks.map(({ name, isOk: ok, state, forMs }) => ({ name, ok, state, forMs }));
    return json(status, { status: isOk ? "ok" : "failing", checks: shown });
  }
  if (isOk) return text(status, "ok\n");
  const failing = checks.filter((check) => !check.isOk);
  return text(status, `failing: ${failing.map(({ name, state }) => `${name} (${state})`).join(", ")}\n`);
}

/** Listens to a relay: metrics, health and traces, and the endpoint that shows them where one is wanted. */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../foundation/clock.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import { Health } from "../observability/health.ts";
import { HttpEndpoint } from "../observability/http-endpoint.ts";
import { Metrics } from "../observability/metrics.ts";
import { pagesOf } from "../observability/pages.ts";
import { traceListener } from "../observability/tracing.ts";
import type { Announcements } from "../relay/announcements.ts";
import type { Relay } from "../relay/relay.ts";
import type { Settings } from "./config.ts";
import { version } from "./version.ts";

export interface Observation {
  readonly endpoint: Lifecycle;
  /** The service was asked to stop: it says that it is not ready before anything else. */
  readonly drain: () => void;
}

const nothing: Lifecycle = { start: async () => undefined, stop: async () => undefined };

export function observe(
  settings: Settings,
  relay: Pick<Relay, "pulseAgeMs" | "blockedCount">,
  announcements: Announcements,
  log: Logger,
): Observation {
  const { delivery, publisher, httpHost: host, httpPort: port } = settings;
  announcements.subscribe(traceListener(systemClock, { version, system: publisher }));
  // Nobody could read them: then nothing is counted either.
  if (port === 0) return { endpoint: nothing, drain: () => undefined };
  const pulseAgeMs = () => relay.pulseAgeMs;
  const health = new Health(
    systemClock,
    {
      pulseAgeMsMax: settings.livenessMs + settings.pollMaxMs,
      isBrokerNeeded: settings.readyNeeds === "outbox-and-broker",
    },
    pulseAgeMs,
  );
  const metrics = new Metrics(
    systemClock,
    { version, delivery, publisher },
    { pulseAgeMs, blockedCount: () => relay.blockedCount, isReady: () => health.ready().isOk },
  );
  announcements.subscribe(health.listener);
  announcements.subscribe(metrics.listener);
  const pages = pagesOf(health, metrics, { version, instance: `${hostname()}-${process.pid}` });
  const endpoint = new HttpEndpoint({ host, port }, pages, (message) => log.warn(message));
  return { endpoint, drain: () => health.drain() };
}

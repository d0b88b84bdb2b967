/**
 * Tracing: one span for each call of the publisher, linked to the spans in which its events were
 * written. A batch holds events of many traces, so it can be part of none; the events' own
 * `traceparent` goes on to the consumers untouched, and they continue the application's trace.
 *
 * OpenTelemetry is found, not imported: its API keeps the registered provider under a global symbol that
 * all 1.x releases share. Where no SDK has registered one, a batch costs one look at that symbol.
 */
import type { Clock } from "../foundation/clock.ts";
import type { Announcement, Listener } from "../relay/announcements.ts";
import type { Outcome } from "../relay/published-batch.ts";

const apiKey = Symbol.for("opentelemetry.js.api.1");
/** The API's `SpanKind.CLIENT`: the producing span is the application's, which made the event. */
const spanKindClient = 2;
/** The API's `SpanStatusCode.ERROR`. */
const statusError = 2;

export interface SpanLink {
  readonly context: {
    readonly traceId: string;
    readonly spanId: string;
    readonly traceFlags: number;
    readonly isRemote: boolean;
  };
}

/** As much of OpenTelemetry's API 1.x as is used here; a test holds it against the real one. */
export interface RegisteredApi {
  readonly trace?: {
    getTracer(
      name: string,
      version?: string,
    ): {
      startSpan(
        name: string,
        options: {
          kind: number;
          startTime: number;
          links: SpanLink[];
          attributes: Record<string, string | number>;
        },
      ): {
        setStatus(status: { code: number; message?: string }): unknown;
        end(endTime: number): void;
      };
    };
  };
}

export interface TraceFacts {
  readonly version: string;
  /** `messaging.system`: kafka, or whatever else events are published to. */
  readonly system: string;
}

type Published = Extract<Announcement, { type: "batch-published" }>;

export function traceListener(clock: Clock, facts: TraceFacts): Listener {
  return (said) => {
    if (said.type !== "batch-published") return;
    const provider = (globalThis as { [apiKey]?: RegisteredApi })[apiKey]?.trace;
    if (provider === undefined) return;
    try {
      trace(provider, said, clock.wallMs(), facts);
    } catch {
      // A tracer that misbehaves costs the span; it must not cost the batch.
    }
  };
}

function trace(
  provider: NonNullable<RegisteredApi["trace"]>,
  { batch, rejected, unknown, resent, durationMs }: Published,
  endMs: number,
  { version, system }: TraceFacts,
): void {
  const topics = new Set<string>();
  const parents = new Set<string>();
  const counts: Record<Outcome, number> = { acked: 0, rejected: 0, unknown: 0, held: 0 };
  batch.forEach(({ topic, traceparent, outcome }) => {
    topics.add(topic);
    counts[outcome] += 1;
    // Events of one transaction share a span, and it is linked once.
    if (traceparent !== undefined) parents.add(traceparent);
  });
  const [topic] = topics;
  const isOneTopic = topics.size === 1 && topic !== undefined;
  const span = provider.getTracer("outrider", version).startSpan(isOneTopic ? `send ${topic}` : "send", {
    kind: spanKindClient,
    startTime: endMs - durationMs,
    links: [...parents].flatMap(linkTo),
    attributes: {
      "messaging.system": system,
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.batch.message_count": counts.acked + counts.rejected + counts.unknown + counts.held,
      ...(isOneTopic ? { "messaging.destination.name": topic } : undefined),
      "outrider.events.acked": counts.acked,
      "outrider.events.rejected": rejected,
      "outrider.events.unknown": unknown,
      "outrider.events.resent": resent,
    },
  });
  if (unknown > 0) span.setStatus({ code: statusError, message: "the outcome is unknown" });
  else if (rejected > 0) span.setStatus({ code: statusError, message: "events were rejected" });
  span.end(endMs);
}

const traceparentShape = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})/;

/** The link a `traceparent` stands for; none when it is not one. */
function linkTo(traceparent: string): SpanLink[] {
  const [, traceId, spanId, flags] = traceparentShape.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return [];
  return [{ context: { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true } }];
}

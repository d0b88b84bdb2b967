/**
 * The active span of the application, as W3C headers. OpenTelemetry's API keeps what was registered
 * under a global symbol that all its 1.x releases share, so it is found without importing a package
 * that may not be there, whichever copy the application loaded and however late.
 */
const apiKey = Symbol.for("opentelemetry.js.api.1");
const spanKey = Symbol.for("OpenTelemetry Context Key SPAN");

interface OpenTelemetryApi {
  readonly context?: { active(): { getValue(key: symbol): unknown } };
}

interface ActiveSpan {
  spanContext(): {
    readonly traceId: string;
    readonly spanId: string;
    readonly traceFlags?: number;
    readonly traceState?: { serialize(): string };
  };
}

const traceIdShape = /^(?!0{32})[0-9a-f]{32}$/;
const spanIdShape = /^(?!0{16})[0-9a-f]{16}$/;

/** `traceparent` and, where the span has one, `tracestate`; undefined without a valid active span. */
export function activeTraceHeaders(): Readonly<Record<string, string>> | undefined {
  try {
    const api = (globalThis as { [apiKey]?: OpenTelemetryApi })[apiKey];
    const span = api?.context?.active().getValue(spanKey) as ActiveSpan | undefined;
    if (span === undefined) return undefined;
    const { traceId, spanId, traceFlags, traceState } = span.spanContext();
    if (!traceIdShape.test(traceId) || !spanIdShape.test(spanId)) return undefined;
    const flags = ((traceFlags ?? 0) & 0xff).toString(16).padStart(2, "0");
    const traceparent = `00-${traceId}-${spanId}-${flags}`;
    const tracestate = traceState?.serialize();
    return tracestate ? { traceparent, tracestate } : { traceparent };
  } catch {
    // A tracer that misbehaves costs the trace; it must not cost the business transaction.
    return undefined;
  }
}

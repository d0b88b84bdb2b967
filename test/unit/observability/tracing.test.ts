/** The listener against the real API of OpenTelemetry, with a provider that writes down what it is asked for. */
import {
  type Attributes,
  INVALID_SPAN_CONTEXT,
  type Link,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { afterEach, describe, expect, it } from "vitest";
import { traceListener } from "../../../src/observability/tracing.ts";
import { PublishedBatch } from "../../../src/relay/published-batch.ts";
import { manualClock } from "../../support/clock.ts";
import { aMessage } from "../../support/messages.ts";

interface RecordedSpan {
  readonly name: string;
  readonly options: SpanOptions;
  readonly status: { code: number } | undefined;
  readonly endTime: unknown;
}

/** Registers a provider as an SDK does; returns the spans it was asked for. */
function registerProvider(fault?: Error): RecordedSpan[] {
  const spans: RecordedSpan[] = [];
  const startSpan = (name: string, options: SpanOptions = {}): Span => {
    if (fault !== undefined) throw fault;
    const idle = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
    let status: { code: number } | undefined;
    return Object.assign(Object.create(idle) as Span, {
      setStatus(given: { code: number }) {
        status = given;
        return idle;
      },
      end: (endTime: unknown) => void spans.push({ name, options, status, endTime }),
    });
  };
  const startActiveSpan = () => {
    throw new Error("nothing is made active");
  };
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan, startActiveSpan }) });
  return spans;
}

const traceparent = (n: number) => `00-${String(n).repeat(32)}-${String(n).repeat(16)}-01`;
const none = { rejections: [], unknowns: [], held: [] } as const;

function tell(batch: PublishedBatch, counts: { unknown?: number; rejected?: number } = {}): void {
  const listener = traceListener(manualClock(1_700_000_000_000), { version: "1.2.3", system: "kafka" });
  const shape = { type: "batch-published", events: 1, rejected: 0, unknown: 0, resent: 0 } as const;
  listener({ ...shape, ...counts, durationMs: 25, batch });
}

const message = (topic: string, header?: string) =>
  aMessage({
    topic,
    aggregateId: "a",
    ...(header === undefined ? {} : { headers: { traceparent: header } }),
  });

describe("tracing", () => {
  afterEach(() => trace.disable());

  it("makes one span of a batch, linked once to each span that wrote its events", () => {
    const spans = registerProvider();
    const headers = [traceparent(1), traceparent(2), traceparent(1), undefined, "not a traceparent"];
    tell(
      new PublishedBatch(
        headers.map((header) => message("orders", header)),
        none,
      ),
    );
    expect(spans).toHaveLength(1);
    const { name, options, status, endTime } = spans[0] as RecordedSpan;
    expect(name).toBe("send orders");
    expect(options.kind).toBe(SpanKind.CLIENT);
    expect([options.startTime, endTime]).toEqual([1_699_999_999_975, 1_700_000_000_000]);
    expect(status).toBeUndefined();
    const links = options.links as Link[];
    expect(links.map(({ context }) => context)).toEqual([
      { traceId: "1".repeat(32), spanId: "1".repeat(16), traceFlags: 1, isRemote: true },
      { traceId: "2".repeat(32), spanId: "2".repeat(16), traceFlags: 1, isRemote: true },
    ]);
    expect(options.attributes as Attributes).toMatchObject({
      "messaging.system": "kafka",
      "messaging.operation.type": "send",
      "messaging.destination.name": "orders",
      "messaging.batch.message_count": 5,
      "outrider.events.acked": 5,
    });
  });

  it("names no topic where there are several, and marks what failed", () => {
    const spans = registerProvider();
    const messages = [message("orders"), message("bills")];
    const unknowns = messages.map(({ event }) => event);
    tell(new PublishedBatch(messages, { ...none, unknowns }), { unknown: 2 });
    expect(spans[0]).toMatchObject({ name: "send", status: { code: SpanStatusCode.ERROR } });
    expect(spans[0]?.options.attributes).not.toHaveProperty("messaging.destination.name");
  });

  it("reads nothing of a batch where no SDK is registered", () => {
    const batch = new PublishedBatch([message("orders")], none);
    let reads = 0;
    batch.forEach = () => {
      reads += 1;
    };
    tell(batch);
    expect(reads).toBe(0);
    registerProvider();
    tell(batch);
    expect(reads).toBe(1);
  });

  it("costs no batch when the tracer throws", () => {
    registerProvider(new Error("a broken exporter"));
    expect(() => tell(new PublishedBatch([message("orders")], none))).not.toThrow();
  });
});

import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Context,
  type ContextManager,
  context,
  createTraceState,
  ROOT_CONTEXT,
  trace,
} from "@opentelemetry/api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { enqueue } from "../../../src/enqueue/enqueue.ts";
import type { NewEvent } from "../../../src/event/event.ts";
import { recordedTransaction } from "./recorded-transaction.ts";

/** The core of OpenTelemetry's own AsyncLocalStorageContextManager. */
class SmallContextManager implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active = () => this.#storage.getStore() ?? ROOT_CONTEXT;
  with: ContextManager["with"] = (active, work, receiver, ...given) =>
    this.#storage.run(active, () => work.call(receiver as never, ...given));
  bind: ContextManager["bind"] = (_active, target) => target;
  enable = () => this;
  disable = () => this;
}

const span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  traceState: createTraceState("vendor=value"),
};
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function headersOf(headers?: NewEvent["headers"]): Promise<unknown> {
  const transaction = recordedTransaction();
  await enqueue(transaction, { aggregateId: "a", payload: 1, ...(headers && { headers }) });
  return JSON.parse(transaction.statements[0]?.texts[3] ?? "null");
}

const inSpan = <T>(spanContext: Parameters<typeof trace.wrapSpanContext>[0], work: () => T): T =>
  context.with(trace.setSpan(context.active(), trace.wrapSpanContext(spanContext)), work);

describe("the trace context of an event", () => {
  describe("with OpenTelemetry set up", () => {
    beforeEach(() => {
      context.setGlobalContextManager(new SmallContextManager());
    });
    afterEach(() => context.disable());

    it("is that of the active span", async () => {
      expect(await inSpan(span, () => headersOf({ own: "1" }))).toEqual({
        traceparent,
        tracestate: "vendor=value",
        own: "1",
      });
    });

    it("has no tracestate where the span has none, and two digits of flags", async () => {
      const { traceState: _, ...bare } = span;
      expect(await inSpan({ ...bare, traceFlags: 0 }, () => headersOf())).toEqual({
        traceparent: traceparent.replace(/01$/, "00"),
      });
    });

    it("gives way to the caller's traceparent, whose trace the tracestate is not", async () => {
      const own = { traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` };
      expect(await inSpan(span, () => headersOf(own))).toEqual(own);
      expect(await inSpan(span, () => headersOf({ tracestate: "mine=1" }))).toEqual({
        traceparent,
        tracestate: "mine=1",
      });
    });

    it("is that of each call when calls run at the same time", async () => {
      const ids = ["1", "2", "3"].map((digit) => digit.repeat(32));
      const all = await Promise.all(ids.map((traceId) => inSpan({ ...span, traceId }, () => headersOf())));
      expect(all.map((headers) => (headers as { traceparent: string }).traceparent.slice(3, 35))).toEqual(
        ids,
      );
    });

    it("is absent without a span, or with an invalid one", async () => {
      expect(await headersOf()).toBeNull();
      expect(await inSpan({ ...span, traceId: "0".repeat(32) }, () => headersOf())).toBeNull();
      expect(await inSpan({ ...span, spanId: "not hex" }, () => headersOf())).toBeNull();
    });

    it("is absent when the tracer throws, and the event is written all the same", async () => {
      const broken = {
        getValue: () => ({
          spanContext: () => {
            throw new Error("broken");
          },
        }),
      };
      expect(await context.with(broken as unknown as Context, () => headersOf({ own: "1" }))).toEqual({
        own: "1",
      });
    });
  });

  it("is absent when nothing is set up", async () => {
    expect(await headersOf()).toBeNull();
  });
});

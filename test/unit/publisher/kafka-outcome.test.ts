import { describe, expect, it } from "vitest";
import { connectErrorOf, judge, refusalOf, troubleOf } from "../../../src/publisher/kafka-outcome.ts";

const answer = (errorCode: number, baseOffset: string) => ({
  topicName: "t",
  partition: 3,
  errorCode,
  baseOffset,
});

describe("judging an answer", () => {
  it("acks a success above everything acked before, up to the last record of the batch", () => {
    expect(judge([answer(0, "100")], 5, 99n)).toEqual({ kind: "acked", lastOffset: 104n });
    expect(judge([answer(0, "0")], 1, undefined)).toEqual({ kind: "acked", lastOffset: 0n });
  });

  it("does not ack a partition that the answer leaves out", () => {
    expect(judge([], 5, undefined).kind).toBe("unknown");
  });

  it("does not ack a partition that was written twice by one send", () => {
    expect(judge([answer(0, "100"), answer(0, "105")], 5, 99n)).toMatchObject({
      kind: "unknown",
      trouble: expect.stringContaining("more than once"),
    });
  });

  it("does not ack an offset acked before: the broker took the batch for a duplicate and wrote nothing", () => {
    expect(judge([answer(0, "99")], 5, 99n)).toMatchObject({
      kind: "unknown",
      trouble: expect.stringContaining("99"),
    });
    expect(judge([answer(0, "42")], 5, 99n).kind).toBe("unknown");
  });

  it("does not ack a success without an offset", () => {
    expect(judge([answer(0, "-1")], 5, undefined).kind).toBe("unknown");
    expect(judge([{ topicName: "t", partition: 3, errorCode: 0 }], 5, undefined).kind).toBe("unknown");
  });

  it.each([
    [3, "topic-unknown", "topic"],
    [10, "message-too-large", "size"],
    [17, "topic-invalid", "topic"],
    [18, "message-too-large", "size"],
    [29, "topic-unauthorized", "topic"],
    [32, "broker-refused", "record"],
    [87, "broker-refused", "record"],
  ])("takes code %i as a refusal: %s, because of the %s", (code, reason, cause) => {
    expect(judge([answer(code, "-1")], 5, undefined)).toMatchObject({
      kind: "refused",
      refusal: { reason, cause },
    });
  });

  it.each([-1, 5, 6, 7, 13, 19, 20, 56, 74, 76, 1_234])("leaves code %i unknown", (code) => {
    expect(judge([answer(code, "-1")], 5, undefined).kind).toBe("unknown");
    expect(refusalOf(code)).toBeUndefined();
  });
});

describe("what was thrown", () => {
  const wrapped = (inner: object) =>
    Object.assign(new Error("outer"), { cause: Object.assign(new Error("inner"), inner) });

  it("becomes one sentence with its code, of a bounded length", () => {
    expect(troubleOf(Object.assign(new Error("Connection error:"), { code: "ECONNREFUSED" }))).toBe(
      "Connection error: (ECONNREFUSED)",
    );
    expect(troubleOf(new Error("x".repeat(5_000))).length).toBeLessThanOrEqual(300);
  });

  it.each([
    [{ name: "KafkaJSSASLAuthenticationError" }, "BROKER_REFUSED", false],
    [{ type: "SASL_AUTHENTICATION_FAILED" }, "BROKER_REFUSED", false],
    [{ code: "SELF_SIGNED_CERT_IN_CHAIN" }, "BROKER_REFUSED", false],
    [{ code: "ERR_TLS_CERT_ALTNAME_INVALID" }, "BROKER_REFUSED", false],
    [{ code: "ECONNREFUSED" }, "BROKER_UNAVAILABLE", true],
    [{}, "BROKER_UNAVAILABLE", true],
  ])("%j at connect is %s", (inner, code, retriable) => {
    expect(connectErrorOf(wrapped(inner), "k:9092")).toMatchObject({ code, retriable });
  });
});

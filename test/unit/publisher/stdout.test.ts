import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { StdoutPublisher } from "../../../src/publisher/stdout.ts";
import { aMessage } from "../../support/messages.ts";

const lineFor = async (value: string | Uint8Array): Promise<string> => {
  const stream = new PassThrough();
  const report = await new StdoutPublisher(stream).publish([
    aMessage({ topic: "t", aggregateId: "a", value }),
  ]);
  expect(report.acks).toHaveLength(1);
  return String(stream.read());
};

describe("a line for an event", () => {
  it("holds a JSON value as it was stored, on one line", async () => {
    const line = await lineFor('{ "b" : 1.0,\n  "b" : 12345678901234567890, "a":"\\n" }');
    expect(line).toContain('"value":{ "b" : 1.0,   "b" : 12345678901234567890, "a":"\\n" }}\n');
    expect(line.indexOf("\n")).toBe(line.length - 1);
    expect(JSON.parse(line)).toMatchObject({ topic: "t", key: "a", value: { a: "\n" } });
  });

  it.each([
    ["text that is no JSON", "hello", "hello"],
    ["bytes that are no UTF-8", new Uint8Array([0xff, 0x00]), "\ufffd\0"],
    ["a byte order mark", new Uint8Array([0xef, 0xbb, 0xbf, 0x31]), "\ufeff1"],
  ])("holds %s in base64", async (_name, value, text) => {
    const { valueBase64, ...rest } = JSON.parse(await lineFor(value));
    expect(rest).not.toHaveProperty("value");
    expect(Buffer.from(valueBase64, "base64").toString()).toBe(text);
  });

  it("holds JSON bytes as JSON", async () => {
    expect(JSON.parse(await lineFor(new TextEncoder().encode('{"n":1}')))).toMatchObject({ value: { n: 1 } });
  });
});

describe("a stream that is slow, or broken", () => {
  const batchOf = (count: number) =>
    Array.from({ length: count }, () =>
      aMessage({ topic: "t", aggregateId: "a", value: `"${"x".repeat(990)}"` }),
    );

  it("is never handed more than a piece ahead of what it has taken", async () => {
    let taken = 0;
    let ahead = 0;
    const stream: Writable = new Writable({
      write(chunk: Buffer, _encoding, done) {
        ahead = Math.max(ahead, stream.writableLength);
        taken += chunk.length;
        setImmediate(done);
      },
    });
    const report = await new StdoutPublisher(stream).publish(batchOf(500));
    expect(report.acks).toHaveLength(500);
    expect(taken).toBeGreaterThan(500_000);
    expect(ahead).toBeLessThan(70_000);
  });

  it("leaves unknown what it did not take, then and later, and acks what it took", async () => {
    let pieces = 0;
    const stream = new Writable({
      write(_chunk, _encoding, done) {
        pieces += 1;
        done(pieces > 1 ? Object.assign(new Error("write EPIPE"), { code: "EPIPE" }) : null);
      },
    });
    const publisher = new StdoutPublisher(stream);
    const report = await publisher.publish(batchOf(200));
    expect(report.acks.length).toBeGreaterThan(0);
    expect(report.acks.length + report.unknowns.length).toBe(200);
    expect(report.trouble).toContain("EPIPE");
    expect((await publisher.publish(batchOf(1))).unknowns).toHaveLength(1);
    await publisher.close();
  });
});

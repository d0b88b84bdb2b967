/**
 * Publishes to a stream, one JSON object a line: for trying things out, for pipes, and as the proof
 * that the port asks for nothing that only Kafka has.
 *
 *     {"topic":"orders","key":"a1","headers":{"event_id":"…"},"value":{"total":12}}
 *     {"topic":"orders","key":"a1","headers":{"event_id":"…"},"valueBase64":"AQID"}
 *
 * A JSON value stands there as it was stored, not parsed and written anew; only line breaks between its
 * tokens become blanks, because a line is an event.
 */
import type { Writable } from "node:stream";
import type { Report } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";
import { messageOf } from "../foundation/errors.ts";
import type { Publisher } from "./publisher.ts";
import { ReportDraft } from "./report-draft.ts";

/** Lines are handed over in pieces of about this size; an ack says that its piece was taken. */
const pieceLengthMax = 65_536;

export class StdoutPublisher implements Publisher {
  readonly #stream: Writable;
  #broken: Error | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  /** The stream stays the caller's: it is not ended by `close`. */
  constructor(stream: Writable) {
    this.#stream = stream;
    // Without a listener a closed pipe (EPIPE) would end the process as an uncaught error.
    stream.on("error", this.#noteError);
  }

  async connect(): Promise<void> {}

  async publish(messages: readonly Message[]): Promise<Report> {
    const draft = new ReportDraft();
    let piece: Message[] = [];
    let text = "";
    for (const message of messages) {
      piece.push(message);
      text += lineOf(message);
      if (text.length < pieceLengthMax) continue;
      await this.#hand(piece, text, draft);
      piece = [];
      text = "";
    }
    if (piece.length > 0) await this.#hand(piece, text, draft);
    return draft.finish();
  }

  /** Resolves when what was handed over is written or has failed. Idempotent. */
  async close(): Promise<void> {
    await this.#writing;
    this.#stream.off("error", this.#noteError);
  }

  readonly #noteError = (error: Error): void => {
    this.#broken = error;
  };

  async #hand(piece: readonly Message[], text: string, draft: ReportDraft): Promise<void> {
    const error = this.#broken ?? (await this.#write(text));
    for (const { event } of piece) {
      if (error === undefined) draft.ack(event);
      else draft.leaveUnknown(event, `the output takes nothing more: ${messageOf(error)}`);
    }
  }

  /** The stream calls back when the piece has left it: that is the back-pressure, and the ack. */
  #write(text: string): Promise<Error | undefined> {
    const writing = new Promise<Error | undefined>((resolve) => {
      this.#stream.write(text, (error) => resolve(error ?? undefined));
    });
    this.#writing = writing;
    return writing;
  }
}

function lineOf({ topic, key, headers, value }: Message): string {
  const json = typeof value === "string" ? value : jsonTextOf(value);
  const head = `{"topic":${JSON.stringify(topic)},"key":${JSON.stringify(key)},"headers":${JSON.stringify(headers)}`;
  if (json !== undefined && isJson(json)) return `${head},"value":${json.replace(/[\r\n]+/g, " ")}}\n`;
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return `${head},"valueBase64":"${Buffer.from(bytes).toString("base64")}"}\n`;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function jsonTextOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined; // Not UTF-8, hence not JSON: base64 it is.
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // Being no JSON is an answer here, not a fault.
  }
}

/** What the proxy understands of what passes through it, per connection. */
import { Frames, kafkaLength, postgresLength, postgresStartLength } from "./proxy-frames.ts";

/** A message on its way back to the client. */
export type Answer =
  | { readonly protocol: "kafka"; readonly apiKey: number; readonly correlationId: number }
  | {
      readonly protocol: "postgres";
      /** The letter of the message: "C" is CommandComplete. */
      readonly type: string;
      /** Of a CommandComplete: "COMMIT", "DELETE 3"; else "". */
      readonly tag: string;
    };

export interface Reader {
  /** Cuts what the client sent into messages. */
  up(chunk: Buffer): readonly Buffer[];
  /** Cuts what the server sent; each message with what it is, where that is known. */
  down(chunk: Buffer): readonly { readonly bytes: Buffer; readonly answer?: Answer }[];
}

export type Protocol = "bytes" | "kafka" | "postgres";

export function readerOf(protocol: Protocol): Reader {
  if (protocol === "kafka") return kafkaReader();
  if (protocol === "postgres") return postgresReader();
  return { up: (chunk) => [chunk], down: (bytes) => [{ bytes }] };
}

/** An answer says only which question it belongs to (correlation id), so the questions are kept. */
function kafkaReader(): Reader {
  const questions = new Frames(kafkaLength);
  const answers = new Frames(kafkaLength);
  const apiKeys = new Map<number, number>();
  return {
    up: (chunk) =>
      questions.take(chunk).map((bytes) => {
        apiKeys.set(bytes.readInt32BE(8), bytes.readInt16BE(4));
        return bytes;
      }),
    down: (chunk) =>
      answers.take(chunk).map((bytes) => {
        const correlationId = bytes.readInt32BE(4);
        const apiKey = apiKeys.get(correlationId);
        apiKeys.delete(correlationId);
        return apiKey === undefined
          ? { bytes }
          : { bytes, answer: { protocol: "kafka", apiKey, correlationId } };
      }),
  };
}

const encryptionRequests = [80877103, 80877104];

/** Reads sessions in the clear; once the server has agreed to TLS, bytes pass uncut. */
function postgresReader(): Reader {
  const starts = new Frames(postgresStartLength);
  const answers = new Frames(postgresLength);
  let client: "starting" | "asked-for-encryption" | "in-session" = "starting";
  let isEncrypted = false;
  return {
    up: (chunk) => {
      if (isEncrypted || client === "in-session") return [chunk];
      const whole = starts.take(chunk);
      for (const bytes of whole) {
        client = encryptionRequests.includes(bytes.readInt32BE(4)) ? "asked-for-encryption" : "in-session";
      }
      return whole;
    },
    down: (chunk) => {
      if (isEncrypted) return [{ bytes: chunk }];
      if (client === "asked-for-encryption") {
        isEncrypted = chunk[0] !== "N".charCodeAt(0);
        client = "starting";
        return [{ bytes: chunk }];
      }
      return answers.take(chunk).map((bytes) => ({ bytes, answer: postgresAnswer(bytes) }));
    },
  };
}

function postgresAnswer(bytes: Buffer): Answer {
  const type = String.fromCharCode(bytes[0] ?? 0);
  return { protocol: "postgres", type, tag: type === "C" ? bytes.toString("utf8", 5, bytes.length - 1) : "" };
}

/** What the proxy understands of what passes through it, per connection. */
import { Frames, kafkaLength, postgresLength, postgresStartLength } from "./proxy-frames.ts";

/** A question of a Kafka client, or the answer to it. */
export interface KafkaMessage {
  readonly protocol: "kafka";
  readonly apiKey: number;
  readonly correlationId: number;
  /** As the client names itself. */
  readonly clientId: string;
  /** Whose transaction the question belongs to; "" where there is none. */
  readonly transactionalId: string;
}

/** A message on its way back to the client. */
export type Answer =
  | KafkaMessage
  | {
      readonly protocol: "postgres";
      /** As the session named itself when it began. */
      readonly application: string;
      /** The letter of the message: "C" is CommandComplete. */
      readonly type: string;
      /** Of a CommandComplete: "COMMIT", "DELETE 3"; else "". */
      readonly tag: string;
    };

export interface Reader {
  /** Cuts what the client sent into messages; each with what it is, where that is known. */
  up(chunk: Buffer): readonly { readonly bytes: Buffer; readonly question?: KafkaMessage }[];
  /** Cuts what the server sent; each message with what it is, where that is known. */
  down(chunk: Buffer): readonly { readonly bytes: Buffer; readonly answer?: Answer }[];
}

export type Protocol = "bytes" | "kafka" | "postgres";

export function readerOf(protocol: Protocol): Reader {
  if (protocol === "kafka") return kafkaReader();
  if (protocol === "postgres") return postgresReader();
  return { up: (bytes) => [{ bytes }], down: (bytes) => [{ bytes }] };
}

/** An answer says only which question it belongs to (correlation id), so the questions are kept. */
function kafkaReader(): Reader {
  const questions = new Frames(kafkaLength);
  const answers = new Frames(kafkaLength);
  const asked = new Map<number, KafkaMessage>();
  return {
    up: (chunk) =>
      questions.take(chunk).map((bytes) => {
        const question = kafkaQuestion(bytes);
        asked.set(question.correlationId, question);
        return { bytes, question };
      }),
    down: (chunk) =>
      answers.take(chunk).map((bytes) => {
        const correlationId = bytes.readInt32BE(4);
        const answer = asked.get(correlationId);
        asked.delete(correlationId);
        return answer === undefined ? { bytes } : { bytes, answer };
      }),
  };
}

/** Requests that begin with a transactional.id, in the versions that kafkajs speaks; Produce since its third. */
const transactionalApis = [0, 24, 25, 26, 28];

function kafkaQuestion(bytes: Buffer): KafkaMessage {
  const apiKey = bytes.readInt16BE(4);
  const clientId = kafkaText(bytes, 12);
  const isTransactional = transactionalApis.includes(apiKey) && (apiKey !== 0 || bytes.readInt16BE(6) >= 3);
  return {
    protocol: "kafka",
    apiKey,
    correlationId: bytes.readInt32BE(8),
    clientId: clientId.text,
    transactionalId: isTransactional ? kafkaText(bytes, clientId.end).text : "",
  };
}

/** A length in two bytes, -1 for null, then the text. */
function kafkaText(bytes: Buffer, at: number): { readonly text: string; readonly end: number } {
  const length = bytes.length < at + 2 ? 0 : Math.max(0, bytes.readInt16BE(at));
  const end = at + 2 + length;
  return { text: bytes.toString("utf8", at + 2, end), end };
}

const encryptionRequests = [80877103, 80877104];

/** Reads sessions in the clear; once the server has agreed to TLS, bytes pass uncut. */
function postgresReader(): Reader {
  const starts = new Frames(postgresStartLength);
  const answers = new Frames(postgresLength);
  let client: "starting" | "asked-for-encryption" | "in-session" = "starting";
  let isEncrypted = false;
  let application = "";
  return {
    up: (chunk) => {
      if (isEncrypted || client === "in-session") return [{ bytes: chunk }];
      const whole = starts.take(chunk);
      for (const bytes of whole) {
        client = encryptionRequests.includes(bytes.readInt32BE(4)) ? "asked-for-encryption" : "in-session";
        if (client === "in-session") application = applicationOf(bytes);
      }
      return whole.map((bytes) => ({ bytes }));
    },
    down: (chunk) => {
      if (isEncrypted) return [{ bytes: chunk }];
      if (client === "asked-for-encryption") {
        isEncrypted = chunk[0] !== "N".charCodeAt(0);
        client = "starting";
        return [{ bytes: chunk }];
      }
      return answers.take(chunk).map((bytes) => ({ bytes, answer: postgresAnswer(bytes, application) }));
    },
  };
}

/** A start-up message: names and values, each ended by a zero byte. */
function applicationOf(start: Buffer): string {
  const words = start.toString("utf8", 8).split("\0");
  const name = words.indexOf("application_name");
  return name < 0 ? "" : (words[name + 1] ?? "");
}

function postgresAnswer(bytes: Buffer, application: string): Answer {
  const type = String.fromCharCode(bytes[0] ?? 0);
  const tag = type === "C" ? bytes.toString("utf8", 5, bytes.length - 1) : "";
  return { protocol: "postgres", application, type, tag };
}

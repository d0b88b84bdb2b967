/**
 * What a broker's answer means. Pure. Three things can become of a slot (one record batch):
 *
 *     acked     error code 0, and an offset above everything acked here before
 *     refused   a code that says "not written, and the same again will not be": known for certain
 *     unknown   anything else, silence above all
 */
import type { RejectionReason } from "../event/delivery.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { isTlsTrouble } from "../foundation/tls-trouble.ts";

/** The broker's answer for one partition, as it stands in a produce response. */
export interface PartitionAnswer {
  readonly topicName: string;
  readonly partition: number;
  readonly errorCode: number;
  /** Offset of the first record of the batch; present in every version of the answer from 0.9 on. */
  readonly baseOffset?: string;
}

export interface Refusal {
  readonly reason: RejectionReason;
  /**
   * `topic`: nothing for this topic would be taken. `size` and `record`: one record of the batch is
   * the cause, the others are innocent; the batch is halved until it stands alone.
   */
  readonly cause: "topic" | "size" | "record";
  readonly sentence: string;
}

export type SlotOutcome =
  | { readonly kind: "acked"; readonly lastOffset: bigint }
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly code: number }
  | { readonly kind: "unknown"; readonly trouble: string };

const refusals: ReadonlyMap<number, Refusal> = new Map([
  refuse(2, "broker-refused", "record", "the broker calls the record corrupt (CORRUPT_MESSAGE): see its log"),
  refuse(
    3,
    "topic-unknown",
    "topic",
    "the topic does not exist: create it or correct the name; Outrider never creates topics",
  ),
  refuse(10, "message-too-large", "size", "larger than the topic allows: raise its max.message.bytes"),
  refuse(
    17,
    "topic-invalid",
    "topic",
    "the broker does not accept this topic name, or nobody may write to it",
  ),
  refuse(18, "message-too-large", "size", "larger than a segment of the topic: raise its segment.bytes"),
  refuse(
    29,
    "topic-unauthorized",
    "topic",
    "this login may not write to the topic: grant WRITE and DESCRIBE",
  ),
  refuse(32, "broker-refused", "record", "created_at is outside of the topic's message.timestamp settings"),
  refuse(44, "broker-refused", "record", "a policy of the broker refuses it (POLICY_VIOLATION): see its log"),
  refuse(87, "broker-refused", "record", "the broker finds the record invalid (INVALID_RECORD): see its log"),
]);

function refuse(
  code: number,
  reason: RejectionReason,
  cause: Refusal["cause"],
  sentence: string,
): readonly [number, Refusal] {
  return [code, { reason, cause, sentence }];
}

/** Undefined for codes that do not condemn the event: those leave the outcome unknown. */
export function refusalOf(errorCode: number): Refusal | undefined {
  return refusals.get(errorCode);
}

/**
 * Two answers for one partition are two writes, whatever made kafkajs send it twice.
 *
 * `previousOffset`: the last offset acked for this partition by the same producer. An offset at or
 * below it cannot be this batch's: the broker took it for a duplicate of an older one and wrote
 * nothing. Acking it would delete rows that Kafka does not have.
 */
export function judge(
  [answer, another]: readonly PartitionAnswer[],
  messages: number,
  previousOffset: bigint | undefined,
): SlotOutcome {
  if (answer === undefined) {
    return { kind: "unknown", trouble: "the send ended well but holds no answer for a partition" };
  }
  const { topicName, partition, errorCode, baseOffset } = answer;
  if (another !== undefined) {
    return { kind: "unknown", trouble: `${topicName}/${partition} was written more than once by one send` };
  }
  if (errorCode !== 0) {
    const refusal = refusalOf(errorCode);
    if (refusal !== undefined) return { kind: "refused", refusal, code: errorCode };
    return { kind: "unknown", trouble: `${topicName}/${partition} answered error code ${errorCode}` };
  }
  const first = baseOffset === undefined ? -1n : BigInt(baseOffset);
  if (first < 0n || (previousOffset !== undefined && first <= previousOffset)) {
    const below = previousOffset === undefined ? "" : `, not above ${previousOffset} acked before`;
    return {
      kind: "unknown",
      trouble: `${topicName}/${partition} answered success at offset ${first}${below}: no ack`,
    };
  }
  return { kind: "acked", lastOffset: first + BigInt(messages) - 1n };
}

/** Fields that kafkajs and Node.js put on what they throw. */
interface Thrown {
  readonly message?: string;
  readonly code?: unknown;
  readonly type?: unknown;
  readonly name?: string;
  readonly cause?: unknown;
}

function* causesOf(thrown: unknown): Generator<Thrown> {
  for (let depth = 0; depth < 8 && typeof thrown === "object" && thrown !== null; depth += 1) {
    yield thrown as Thrown;
    thrown = (thrown as Thrown).cause;
  }
}

const sentenceLengthMax = 300;

/** What was thrown, as one sentence for a log; with the code where the message leaves it out. */
export function troubleOf(thrown: unknown): string {
  let sentence = messageOf(thrown).trim();
  for (const { code } of causesOf(thrown)) {
    if (typeof code === "string" && !sentence.includes(code)) sentence += ` (${code})`;
  }
  return sentence.slice(0, sentenceLengthMax);
}

const loginErrors = new Set([
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "ILLEGAL_SASL_STATE",
]);

/** kafkajs keeps the broker's reason to itself when it finds no coordinator. */
const hiddenRefusal = "no coordinator for the group; it is still starting, or this login is not authorized";

/** Why there is no connection: refused for good (someone must change something), or away for now. */
export function connectErrorOf(thrown: unknown, broker: string): OutriderError {
  const trouble = troubleOf(thrown);
  for (const { name, type, code } of causesOf(thrown)) {
    if (name === "KafkaJSSASLAuthenticationError" || loginErrors.has(String(type))) {
      return new OutriderError("BROKER_REFUSED", `Kafka at ${broker} refuses the login: ${trouble}`, {
        repair: "Check OUTRIDER_KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD.",
        cause: thrown,
      });
    }
    if (isTlsTrouble(code)) {
      return new OutriderError("BROKER_REFUSED", `No TLS with Kafka at ${broker}: ${trouble}`, {
        repair: "Check OUTRIDER_KAFKA_CA_FILE, the client certificate, and that this port speaks TLS.",
        cause: thrown,
      });
    }
    const missing = name === "KafkaJSGroupCoordinatorNotFound" ? hiddenRefusal : trouble;
    if (missing === hiddenRefusal || String(type).endsWith("_AUTHORIZATION_FAILED")) {
      return new OutriderError("BROKER_UNAVAILABLE", `Kafka at ${broker} denies a right: ${missing}`, {
        repair: "Grant this login what docs/delivery.md names; Outrider keeps trying.",
        retriable: true,
        cause: thrown,
      });
    }
  }
  return new OutriderError("BROKER_UNAVAILABLE", `Kafka at ${broker} cannot be reached: ${trouble}`, {
    repair: "Check KAFKA_BROKERS and that the broker is up; Outrider keeps trying.",
    retriable: true,
    cause: thrown,
  });
}

/**
 * One send, one attempt. kafkajs insists on repeating the sends of a transactional producer, and does it
 * wrongly: the parts for several brokers go out at the same time, the first that fails ends the attempt, and
 * the next one begins while the others are still on their way. Whatever of these is written is then
 * written once more under new sequence numbers, in the same transaction, and both are committed.
 *
 *     begin ──► open ──a request fails──► failed: every further request of this send is refused
 *                └── AddPartitionsToTxn while the transaction before is being ended: asked again, here
 *
 * The second is no failure but the rule: it is the answer to nearly every transaction that follows another.
 *
 * That alone is not enough: an attempt also fails before any request of the send itself, when the
 * coordinator cannot be found or dialled, and what goes to another broker is on its way by then as well.
 * Every attempt begins by placing its messages, so the partitioner refuses one that it has placed before.
 */
import type { ICustomPartitioner } from "kafkajs";
import type { Clock } from "../foundation/clock.ts";
import { isNotYet } from "./kafkajs-repairs.ts";

/** With these pauses some three seconds, longer than a coordinator needs to end a transaction. */
const repeatsMax = 20;
const pauseMinMs = 8;
const pauseMaxMs = 200;

/** kafkajs gives up at once when it is told that trying again is no use. */
class SendRepeated extends Error {
  readonly retriable = false;

  constructor() {
    super("a send is not repeated inside of a transaction");
  }
}

/**
 * Reads the partition that was computed before, once for each message object; throws when kafkajs begins
 * another attempt. Whoever sends the same event again does it with a new object, in another transaction.
 */
export const placeOnce: ICustomPartitioner = () => {
  const placed = new WeakSet<object>();
  return ({ message }) => {
    if (placed.has(message)) throw new SendRepeated();
    placed.add(message);
    return message.partition as number;
  };
};

export class SendGuard {
  readonly #clock: Clock;
  #hasFailed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Another send; the one before has settled. */
  begin(): void {
    this.#hasFailed = false;
  }

  /** Makes a request of the send. Rejects without making it when another one of the same send has failed. */
  carryOut = async (ask: () => Promise<unknown>): Promise<unknown> => {
    if (this.#hasFailed) throw new SendRepeated();
    try {
      return await this.#untilFree(ask);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  };

  async #untilFree(ask: () => Promise<unknown>): Promise<unknown> {
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await ask();
      } catch (error) {
        if (!isNotYet(error) || repeats >= repeatsMax) throw error;
        await this.#clock.sleep(Math.min(pauseMinMs * 1.6 ** repeats, pauseMaxMs));
      }
    }
  }
}

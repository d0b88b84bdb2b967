/**
 * The body of a produce request (versions 3 to 7, which are alike), written for one producer's life.
 *
 * To kafkajs each record batch is one message, a parcel: it finds the leader of its partition, sends it
 * there and hears the answer. What is in the parcel it does not look at.
 */
import { ByteWriter } from "./byte-writer.ts";
import type { Outgoing, Slot } from "./kafka-chunks.ts";
import { type Compression, writeRecordBatch } from "./kafka-record-batch.ts";

/** What is handed to kafkajs as a message. A new one for each send: `kafka-send-guard.ts` relies on it. */
export interface Parcel {
  /** kafkajs wants to see one. */
  readonly value: null;
  readonly partition: number;
  readonly slot: Slot;
}

export function parcelOf(slot: Slot): Parcel {
  return { value: null, partition: slot.partition, slot };
}

/** What kafkajs asks one broker to write. */
export interface ProduceOrder {
  readonly transactionalId?: string | undefined;
  /** Its own notion of a 64-bit number. */
  readonly producerId?: { toString(): string } | undefined;
  readonly producerEpoch?: number | undefined;
  readonly acks: number;
  readonly timeout: number;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly messages: readonly Parcel[] }[];
  }[];
}

const sequenceMax = 2 ** 31 - 1;
/** Names and numbers around the batches. */
const frameBytes = 512;

export class ProduceWriter {
  readonly #compression: Compression;
  /**
   * The next sequence number of each partition. kafkajs counts parcels where the broker counts records, so
   * its count is no use; and there is no way back in ours, because after a failure there is no next send.
   */
  readonly #sequences = new Map<string, number>();

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  write = async (order: ProduceOrder): Promise<Buffer> => {
    const { transactionalId, acks, timeout, topicData } = order;
    const writer = new ByteWriter(frameBytes + sizeOf(topicData));
    writer.string(transactionalId ?? null);
    writer.reserve(frameBytes);
    writer.int16(acks);
    writer.int32(timeout);
    writer.int32(topicData.length);
    for (const { topic, partitions } of topicData) {
      writer.string(topic);
      writer.reserve(4);
      writer.int32(partitions.length);
      for (const { messages } of partitions) await this.#writeSlot(writer, order, messages);
    }
    return writer.written;
  };

  async #writeSlot(writer: ByteWriter, order: ProduceOrder, [parcel]: readonly Parcel[]): Promise<void> {
    const { topic, partition, messages } = (parcel as Parcel).slot;
    const { transactionalId, producerId = -1, producerEpoch = 0 } = order;
    const isNumbered = transactionalId !== undefined;
    writer.reserve(8);
    writer.int32(partition);
    const start = writer.at;
    writer.at += 4;
    const owner = {
      producerId: BigInt(producerId.toString()),
      producerEpoch,
      firstSequence: isNumbered ? this.#number(`${topic}/${partition}`, messages) : 0,
      isTransactional: isNumbered,
    };
    await writeRecordBatch(writer, messages, owner, this.#compression);
    writer.bytes.writeInt32BE(writer.at - start - 4, start);
  }

  /** As the broker counts: from 0, and on from 0 after the largest that fits. */
  #number(place: string, messages: readonly Outgoing[]): number {
    const first = this.#sequences.get(place) ?? 0;
    const next = first + messages.length;
    this.#sequences.set(place, next > sequenceMax ? next - sequenceMax - 1 : next);
    return first;
  }
}

function sizeOf(topicData: ProduceOrder["topicData"]): number {
  let bytes = 0;
  for (const { topic, partitions } of topicData) {
    bytes += topic.length + 32;
    for (const { messages } of partitions) {
      const { slot } = messages[0] as Parcel;
      bytes += slot.bytes + slot.messages.length * 32 + 128;
    }
  }
  return bytes;
}

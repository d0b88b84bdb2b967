/**
 * A cluster that speaks just enough of Kafka's protocol for a producer (ApiVersions, Metadata, Produce,
 * SASL PLAIN), over real sockets, and misbehaves as it is told: answers no real broker can be brought to
 * give on demand. What it "wrote" can be read back.
 */
import { EventEmitter, once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Decoder, DecoderClass, decodeBatch, type Encoder, EncoderClass } from "./fake-broker-wire.ts";

/** What arrived for one partition in one produce request. */
export interface Batch {
  readonly brokerId: number;
  readonly topic: string;
  readonly partition: number;
  readonly bytes: number;
  readonly records: readonly { readonly key: string; readonly value: string }[];
}

export interface BatchAnswer {
  /** Default 0. A batch with another code is not written unless `isWritten` says so. */
  readonly errorCode?: number;
  readonly isWritten?: boolean;
  /** Default: where the batch was written. */
  readonly baseOffset?: string;
  /** Leaves the partition out of the response. */
  readonly isOmitted?: boolean;
}

export interface FakeTopic {
  readonly partitions: number;
  /** Who leads a partition; default broker 0. Below 0: nobody. */
  readonly leaderOf?: (partition: number) => number;
  /** Error code of the whole topic in metadata. */
  readonly errorCode?: number;
}

export interface FakeScript {
  answer(batch: Batch): BatchAnswer;
  /** What becomes of a response, once the request was carried out: sent, never sent, or the connection cut. */
  deliver(request: { readonly api: string; readonly brokerId: number }): "send" | "swallow" | "cut";
}

const apis: Readonly<Record<number, string>> = {
  0: "Produce",
  3: "Metadata",
  17: "SaslHandshake",
  18: "ApiVersions",
  36: "SaslAuthenticate",
};

/** Highest versions offered: 7 is the newest Produce that kafkajs speaks. */
const versions: readonly (readonly [number, number])[] = [
  [0, 7],
  [3, 5],
  [17, 1],
  [18, 2],
  [36, 1],
];

export class FakeCluster extends EventEmitter<{ request: [{ api: string; brokerId: number }]; idle: [] }> {
  readonly topics = new Map<string, FakeTopic>();
  readonly batches: Batch[] = [];
  /** Every record written, to whatever partition, in the order of the writing. */
  readonly appended: { readonly key: string; readonly value: string }[] = [];
  readonly #logs = new Map<string, { key: string; value: string }[]>();
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  script: Partial<FakeScript> = {};

  static async start(brokerCount = 1): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (let brokerId = 0; brokerId < brokerCount; brokerId += 1) {
      const server = createServer((socket) => cluster.#serve(socket, brokerId));
      cluster.#servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
    return cluster;
  }

  get brokers(): string[] {
    return this.#ports().map((port) => `127.0.0.1:${port}`);
  }

  /** Resolves when nobody is connected. */
  async untilIdle(): Promise<void> {
    if (this.#sockets.size > 0) await once(this, "idle");
  }

  /** Everything written to a partition, in order. */
  logOf(topic: string, partition: number): readonly { readonly key: string; readonly value: string }[] {
    return this.#logs.get(`${topic}/${partition}`) ?? [];
  }

  /** Resets every connection there is. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    this.cutAll();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #ports(): number[] {
    return this.#servers.map((server) => (server.address() as AddressInfo).port);
  }

  #serve(socket: Socket, brokerId: number): void {
    this.#sockets.add(socket);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.emit("idle");
    });
    socket.on("error", () => undefined);
    let bytes = Buffer.alloc(0);
    let busy = Promise.resolve();
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
        const frame = bytes.subarray(4, 4 + bytes.readInt32BE(0));
        bytes = bytes.subarray(4 + frame.length);
        busy = busy.then(() => this.#reply(socket, brokerId, frame));
      }
    });
  }

  async #reply(socket: Socket, brokerId: number, frame: Buffer): Promise<void> {
    const decoder = new DecoderClass(frame);
    const apiKey = decoder.readInt16();
    const version = decoder.readInt16();
    const correlationId = decoder.readInt32();
    decoder.readString();
    const api = apis[apiKey] ?? `api ${apiKey}`;
    const body = await this.#answer(apiKey, version, decoder, brokerId);
    this.emit("request", { api, brokerId });
    const delivery = this.script.deliver?.({ api, brokerId }) ?? "send";
    if (delivery === "cut") socket.resetAndDestroy();
    if (delivery !== "send" || socket.destroyed) return;
    const payload = new EncoderClass().writeInt32(correlationId).writeEncoder(body).buffer;
    socket.write(new EncoderClass().writeBytes(payload).buffer);
  }

  async #answer(apiKey: number, version: number, decoder: Decoder, brokerId: number): Promise<Encoder> {
    switch (apiKey) {
      case 0:
        return this.#produce(decoder, brokerId);
      case 3:
        return this.#metadata(decoder);
      case 17:
        return new EncoderClass().writeInt16(0).writeArray(["PLAIN"]);
      case 18: {
        const rows = versions.map(([key, max]) =>
          new EncoderClass().writeInt16(key).writeInt16(0).writeInt16(max),
        );
        const body = new EncoderClass().writeInt16(0).writeArray(rows);
        return version === 0 ? body : body.writeInt32(0);
      }
      case 36:
        return new EncoderClass()
          .writeInt16(58)
          .writeString("Authentication failed: Invalid username or password")
          .writeBytes(Buffer.alloc(0))
          .writeInt64("0");
      default:
        throw new Error(`the fake broker does not speak api ${apiKey}`);
    }
  }

  #metadata(decoder: Decoder): Encoder {
    const asked = decoder.readArray((each) => each.readString() ?? "");
    const names = asked.length > 0 ? asked : [...this.topics.keys()];
    const brokers = this.#ports().map((port, id) =>
      new EncoderClass().writeInt32(id).writeString("127.0.0.1").writeInt32(port).writeString(null),
    );
    const topics = names.map((name) => {
      const topic = this.topics.get(name);
      const partitions = Array.from({ length: topic?.partitions ?? 0 }, (_, id) => {
        const leader = topic?.leaderOf?.(id) ?? 0;
        const encoder = new EncoderClass()
          .writeInt16(leader < 0 ? 5 : 0)
          .writeInt32(id)
          .writeInt32(leader);
        return encoder.writeArray([0]).writeArray([0]).writeArray([]);
      });
      const errorCode = topic === undefined ? 3 : (topic.errorCode ?? 0);
      return new EncoderClass()
        .writeInt16(errorCode)
        .writeString(name)
        .writeBoolean(false)
        .writeArray(partitions);
    });
    const encoder = new EncoderClass().writeInt32(0).writeArray(brokers).writeString("fake").writeInt32(0);
    return encoder.writeArray(topics);
  }

  async #produce(decoder: Decoder, brokerId: number): Promise<Encoder> {
    decoder.readString();
    decoder.readInt16();
    decoder.readInt32();
    const asked = decoder.readArray((each) => ({
      topic: each.readString() ?? "",
      partitions: each.readArray((one) => ({ partition: one.readInt32(), bytes: one.readBytes() })),
    }));
    const topics: Encoder[] = [];
    for (const { topic, partitions } of asked) {
      const answers: Encoder[] = [];
      for (const { partition, bytes } of partitions) {
        const answer = await this.#append(brokerId, topic, partition, bytes);
        if (answer !== undefined) answers.push(answer);
      }
      topics.push(new EncoderClass().writeString(topic).writeArray(answers));
    }
    return new EncoderClass().writeArray(topics).writeInt32(0);
  }

  async #append(
    brokerId: number,
    topic: string,
    partition: number,
    bytes: Buffer,
  ): Promise<Encoder | undefined> {
    // kafkajs reads the magic byte of a batch and then goes over it again: nothing is skipped here.
    const { records } = await decodeBatch(new DecoderClass(bytes));
    const read = records.map(({ key, value }) => ({ key: key.toString(), value: value.toString() }));
    const batch: Batch = { brokerId, topic, partition, bytes: bytes.length, records: read };
    this.batches.push(batch);
    const { errorCode = 0, isWritten, baseOffset, isOmitted } = this.script.answer?.(batch) ?? {};
    const log = this.#logs.get(`${topic}/${partition}`) ?? [];
    const offset = String(errorCode === 0 ? log.length : -1);
    if (isWritten ?? errorCode === 0) {
      this.#logs.set(`${topic}/${partition}`, [...log, ...read]);
      this.appended.push(...read);
    }
    if (isOmitted === true) return undefined;
    return new EncoderClass()
      .writeInt32(partition)
      .writeInt16(errorCode)
      .writeInt64(baseOffset ?? offset)
      .writeInt64("-1")
      .writeInt64("0");
  }
}

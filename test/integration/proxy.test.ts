import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { type ProxiedKafka, startProxiedKafka } from "../support/proxied-kafka.ts";
import { kafkaApis, startProxy, type TcpProxy } from "../support/proxy.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

describe("a proxied connection", () => {
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  let proxy: TcpProxy;

  beforeAll(async () => {
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    const bound = echo.address();
    proxy = await startProxy({ target: `127.0.0.1:${typeof bound === "object" ? bound?.port : ""}` });
  });
  afterEach(() => proxy.heal());
  afterAll(async () => {
    await proxy.close();
    echo.close();
  });

  const open = async (): Promise<Socket> => {
    const socket = connect({ host: "127.0.0.1", port: proxy.port, allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };
  const answer = async (socket: Socket): Promise<string> => String((await once(socket, "data"))[0]);

  it("passes bytes, and the end of the stream", async () => {
    const socket = await open();
    socket.end("hello");
    expect(await answer(socket)).toBe("hello");
    await once(socket, "end");
  });

  it("is slow on demand", async () => {
    proxy.delay({ up: 60, down: 60 });
    const socket = await open();
    const started = performance.now();
    socket.write("slow");
    expect(await answer(socket)).toBe("slow");
    expect(performance.now() - started).toBeGreaterThanOrEqual(118);
    socket.destroy();
  });

  it("is reset by a cut", async () => {
    const socket = await open();
    socket.write("x");
    await answer(socket);
    proxy.cut();
    expect((await once(socket, "error"))[0]).toMatchObject({ code: "ECONNRESET" });
  });

  it("goes silent in a black hole, and says late what was sent meanwhile", async () => {
    const socket = await open();
    proxy.blackHole("down");
    let heard = "";
    socket.on("data", (chunk) => {
      heard += String(chunk);
    });
    socket.write("late");
    const other = await open();
    proxy.blackHole("up");
    other.write("later");
    await expect.poll(() => heard).toBe("");
    await proxy.heal();
    expect(await answer(other)).toBe("later");
    await expect.poll(() => heard).toBe("late");
    socket.destroy();
    other.destroy();
  });

  it("is refused, and taken again after healing, on the same port", async () => {
    await proxy.refuse();
    const refused = connect(proxy.port, "127.0.0.1");
    expect((await once(refused, "error"))[0]).toMatchObject({ code: "ECONNREFUSED" });
    await proxy.heal();
    (await open()).destroy();
  });
});

describe("Kafka behind the proxy", () => {
  let parts: ProxiedKafka;

  beforeAll(async () => {
    parts = await startProxiedKafka();
  });
  afterEach(() => parts.proxy.heal());
  afterAll(() => parts.stop());

  const produce = async (topic: string, value: string, requestTimeout: number): Promise<void> => {
    const kafka = new Kafka({
      brokers: [...parts.brokers],
      logLevel: logLevel.NOTHING,
      requestTimeout,
      retry: { retries: 0 },
    });
    const producer = kafka.producer();
    await producer.connect();
    try {
      await producer.send({ topic, messages: [{ value }] });
    } finally {
      await producer.disconnect();
    }
  };
  const valuesOf = async (topic: string) => (await readTopic(parts.direct, topic)).map(({ value }) => value);
  const newTopic = async (): Promise<string> => {
    const topic = uniqueTopic("proxied");
    await createTopics(parts.direct, [{ topic }]);
    return topic;
  };

  it("has written what it was sent though the one answer was swallowed", async () => {
    const topic = await newTopic();
    const lost = parts.proxy.swallowNext({ apiKey: kafkaApis.produce });
    await expect(produce(topic, "swallowed", 700)).rejects.toThrow(/timed out/);
    expect(await lost.happened).toMatchObject({ protocol: "kafka", apiKey: 0 });
    await produce(topic, "next", 5_000);
    expect(await valuesOf(topic)).toEqual(["swallowed", "next"]);
  });

  it("is heard when a held answer is let go", async () => {
    const topic = await newTopic();
    const held = parts.proxy.holdNext({ apiKey: kafkaApis.produce });
    let isHeard = false;
    const sending = produce(topic, "held", 20_000).then(() => {
      isHeard = true;
    });
    await held.happened;
    expect(await valuesOf(topic)).toEqual(["held"]);
    expect(isHeard).toBe(false);
    held.release();
    await sending;
  });

  it("cuts instead of answering", async () => {
    const topic = await newTopic();
    const cut = parts.proxy.cutAtNext({ apiKey: kafkaApis.produce });
    await expect(produce(topic, "cut", 20_000)).rejects.toThrow();
    await cut.happened;
    expect(await valuesOf(topic)).toEqual(["cut"]);
  });

  it("is away and back when the broker is killed and started again", async () => {
    const topic = await newTopic();
    await produce(topic, "before", 5_000);
    await parts.kafka.processes[0]?.kill();
    await expect(produce(topic, "meanwhile", 5_000)).rejects.toThrow();
    await parts.kafka.processes[0]?.restart();
    await expect
      .poll(() => produce(topic, "after", 5_000).then(() => "sent", String), { timeout: 20_000 })
      .toBe("sent");
    expect(await valuesOf(topic)).toEqual(["before", "after"]);
  });
});

describe("PostgreSQL behind the proxy", () => {
  it("has committed though the client never hears of it", async () => {
    const database = await freshDatabase();
    const url = new URL(database.url);
    const proxy = await startProxy({ target: url.host, protocol: "postgres" });
    url.host = proxy.address;
    const client = new pg.Client({ connectionString: url.href, query_timeout: 500 });
    client.on("error", () => undefined);
    await client.connect();
    await client.query("create table kept (id int)");
    const lost = proxy.swallowNextBackend(({ type, tag }) => type === "C" && tag === "COMMIT");
    await client.query("begin");
    await client.query("insert into kept values (1)");
    await expect(client.query("commit")).rejects.toThrow(/timeout/);
    expect(await lost.happened).toMatchObject({ type: "C", tag: "COMMIT" });
    proxy.cut();
    const direct = new pg.Client({ connectionString: database.url });
    await direct.connect();
    expect((await direct.query("select id from kept")).rows).toEqual([{ id: 1 }]);
    await direct.end();
    await proxy.close();
    await database.drop();
  });
});

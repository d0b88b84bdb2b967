/**
 * A TCP proxy on 127.0.0.1 that can do to a connection what networks do: be slow, go silent, cut,
 * refuse; and, knowing Kafka's and PostgreSQL's framing, lose exactly one answer, so that the server has
 * done the work and the client cannot know.
 *
 *     const proxy = await startProxy({ protocol: "kafka", target: "127.0.0.1:9092" });
 *     const lost = proxy.swallowNext({ apiKey: kafkaApis.produce });
 *     …publish through proxy.address…
 *     await lost.happened;
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { Flow, type Weather } from "./proxy-flow.ts";
import { type KafkaAnswers, type Mishap, MishapRules } from "./proxy-mishaps.ts";
import { type Answer, type KafkaMessage, type Protocol, readerOf } from "./proxy-protocols.ts";

export { type KafkaAnswers, kafkaApis, type Mishap } from "./proxy-mishaps.ts";
export type { Answer, KafkaMessage } from "./proxy-protocols.ts";

export interface ProxyOptions {
  /** "host:port"; may also be set later with `leadTo`. */
  readonly target?: string;
  readonly protocol?: Protocol;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: Flow;
  readonly down: Flow;
}

export async function startProxy(options: ProxyOptions = {}): Promise<TcpProxy> {
  const proxy = new TcpProxy(options);
  await proxy.accept();
  return proxy;
}

export class TcpProxy {
  readonly #protocol: Protocol;
  readonly #links = new Set<Link>();
  readonly #rules = new MishapRules<Link>(() => this.#drain(), cutLink);
  readonly #up: Weather = { delayMs: 0, isBlackHole: false };
  readonly #down: Weather = { delayMs: 0, isBlackHole: false };
  #server: Server | undefined;
  #target: string;
  #port = 0;

  constructor({ target = "", protocol = "bytes" }: ProxyOptions) {
    this.#target = target;
    this.#protocol = protocol;
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get connectionCount(): number {
    return this.#links.size;
  }

  leadTo(target: string): void {
    this.#target = target;
  }

  /** Milliseconds that each byte takes longer, per direction. */
  delay({ up = 0, down = 0 }: { readonly up?: number; readonly down?: number }): void {
    this.#up.delayMs = up;
    this.#down.delayMs = down;
  }

  /** Silence: connections stay open, nothing passes until `heal`. `up` is what clients send. */
  blackHole(direction: "up" | "down" | "both"): void {
    this.#up.isBlackHole = direction !== "down";
    this.#down.isBlackHole = direction !== "up";
  }

  /** Resets every open connection, both ways. */
  cut(): void {
    for (const link of this.#links) cutLink(link);
  }

  /** New connections are refused, as if nothing listened; open ones live on. */
  async refuse(): Promise<void> {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Takes connections (again). */
  async accept(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true }, (client) => this.#link(client));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    const bound = server.address();
    if (bound !== null && typeof bound === "object") this.#port = bound.port;
  }

  /** Ends every trouble; what was held or silent passes now. Muted connections stay mute: cut them. */
  async heal(): Promise<void> {
    this.#rules.callOff();
    this.delay({});
    Object.assign(this.#up, { isBlackHole: false });
    Object.assign(this.#down, { isBlackHole: false });
    this.#drain();
    await this.accept();
  }

  async close(): Promise<void> {
    await this.refuse();
    this.cut();
  }

  /** Kafka: the request is carried out, its answer never arrives, everything else passes. */
  swallowNext(answers: KafkaAnswers): Mishap<KafkaMessage> {
    return this.#rules.planKafka("swallow", answers);
  }

  /** Kafka: the answer, and all that follows it on its connection, waits for `release`. */
  holdNext(answers: KafkaAnswers): Mishap<KafkaMessage> {
    return this.#rules.planKafka("hold", answers);
  }

  /** Kafka: the request itself, and all that follows it on its connection, waits for `release`. */
  holdNextRequest(requests: KafkaAnswers): Mishap<KafkaMessage> {
    return this.#rules.planKafka("hold", requests, true);
  }

  /** Kafka: nothing is done to it; `happened` says that the answer came by. */
  seeNext(answers: KafkaAnswers): Mishap<KafkaMessage> {
    return this.#rules.planKafka("pass", answers);
  }

  /** Kafka: the request is carried out, and instead of its answer the client sees a reset. */
  cutAtNext(answers: KafkaAnswers): Mishap<KafkaMessage> {
    return this.#rules.planKafka("cut", answers);
  }

  /** PostgreSQL: from the first answer that matches on, its connection is mute towards the client. */
  swallowNextBackend(
    matches: (answer: {
      readonly type: string;
      readonly tag: string;
      readonly application: string;
    }) => boolean,
  ): Mishap {
    return this.#rules.plan("mute", 1, (answer) => answer.protocol === "postgres" && matches(answer));
  }

  #link(client: Socket): void {
    const colon = this.#target.lastIndexOf(":");
    const server = connect({
      host: this.#target.slice(0, colon),
      port: Number(this.#target.slice(colon + 1)),
      allowHalfOpen: true,
    });
    const reader = readerOf(this.#protocol);
    const link: Link = {
      client,
      server,
      up: new Flow(client, server, this.#up, (chunk) => {
        for (const { bytes, question } of reader.up(chunk)) this.#pass(link, link.up, bytes, question);
      }),
      down: new Flow(server, client, this.#down, (chunk) => {
        for (const { bytes, answer } of reader.down(chunk)) this.#pass(link, link.down, bytes, answer);
      }),
    };
    this.#links.add(link);
    for (const [socket, other] of [[client, server] as const, [server, client] as const]) {
      socket.setNoDelay(true);
      // A reset on one side is a reset on the other; "close" follows and tidies up.
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => {
        if (other.closed) this.#links.delete(link);
      });
    }
  }

  #pass(link: Link, flow: Flow, bytes: Buffer, message: Answer | undefined): void {
    const rule = message && this.#rules.take(message, flow === link.up, link);
    if (rule === undefined || message === undefined) {
      flow.send(bytes);
      return;
    }
    if (rule.deed === "pass") flow.send(bytes);
    if (rule.deed === "hold") flow.send(bytes, rule.gate);
    if (rule.deed === "mute") flow.mute();
    if (rule.deed === "cut") cutLink(link);
    if (rule.left === 0) rule.done(message);
  }

  #drain(): void {
    for (const { up, down } of this.#links) {
      up.drain();
      down.drain();
    }
  }
}

function cutLink({ client, server }: Link): void {
  client.resetAndDestroy();
  server.resetAndDestroy();
}

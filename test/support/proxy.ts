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
import { Flow, type Gate, type Weather } from "./proxy-flow.ts";
import { type Answer, type Protocol, readerOf } from "./proxy-protocols.ts";

export type { Answer } from "./proxy-protocols.ts";

export const kafkaApis = {
  produce: 0,
  fetch: 1,
  metadata: 3,
  addOffsetsToTxn: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
} as const;

export interface ProxyOptions {
  /** "host:port"; may also be set later with `leadTo`. */
  readonly target?: string;
  readonly protocol?: Protocol;
}

/** Something that will be done to an answer not yet seen. */
export interface Mishap {
  /** Resolves with the last answer it was done to, when it has been done `count` times. */
  readonly happened: Promise<Answer>;
  /** Lets go of what is held; for a mishap that has not happened yet, calls it off. */
  release(): void;
}

export interface KafkaAnswers {
  readonly apiKey: number;
  /** Default 1. */
  readonly count?: number;
}

type Deed = "swallow" | "hold" | "cut" | "mute";

interface Rule {
  readonly deed: Deed;
  readonly matches: (answer: Answer) => boolean;
  readonly gate: Gate;
  left: number;
  readonly done: (answer: Answer) => void;
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
  readonly #rules = new Set<Rule>();
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
    for (const rule of this.#rules) rule.gate.isOpen = true;
    this.#rules.clear();
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
  swallowNext({ apiKey, count = 1 }: KafkaAnswers): Mishap {
    return this.#plan("swallow", count, (answer) => answer.protocol === "kafka" && answer.apiKey === apiKey);
  }

  /** Kafka: the answer, and all that follows it on its connection, waits for `release`. */
  holdNext({ apiKey, count = 1 }: KafkaAnswers): Mishap {
    return this.#plan("hold", count, (answer) => answer.protocol === "kafka" && answer.apiKey === apiKey);
  }

  /** Kafka: the request is carried out, and instead of its answer the client sees a reset. */
  cutAtNext({ apiKey, count = 1 }: KafkaAnswers): Mishap {
    return this.#plan("cut", count, (answer) => answer.protocol === "kafka" && answer.apiKey === apiKey);
  }

  /** PostgreSQL: from the first answer that matches on, its connection is mute towards the client. */
  swallowNextBackend(matches: (answer: { readonly type: string; readonly tag: string }) => boolean): Mishap {
    return this.#plan("mute", 1, (answer) => answer.protocol === "postgres" && matches(answer));
  }

  #plan(deed: Deed, count: number, matches: (answer: Answer) => boolean): Mishap {
    const gate: Gate = { isOpen: false };
    let done: (answer: Answer) => void = () => undefined;
    const happened = new Promise<Answer>((resolve) => {
      done = resolve;
    });
    const rule: Rule = { deed, matches, gate, left: count, done };
    this.#rules.add(rule);
    const release = () => {
      this.#rules.delete(rule);
      gate.isOpen = true;
      this.#drain();
    };
    return { happened, release };
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
        for (const bytes of reader.up(chunk)) link.up.send(bytes);
      }),
      down: new Flow(server, client, this.#down, (chunk) => {
        for (const { bytes, answer } of reader.down(chunk)) this.#passDown(link, bytes, answer);
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

  #passDown(link: Link, bytes: Buffer, answer: Answer | undefined): void {
    const rule = answer && [...this.#rules].find(({ left, matches }) => left > 0 && matches(answer));
    if (rule === undefined || answer === undefined) {
      link.down.send(bytes);
      return;
    }
    rule.left -= 1;
    if (rule.deed === "hold") link.down.send(bytes, rule.gate);
    if (rule.deed === "mute") link.down.mute();
    if (rule.deed === "cut") cutLink(link);
    if (rule.left === 0) rule.done(answer);
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

/** What a proxy is about to do to single messages: planned before they come, found when they do. */
import type { Gate } from "./proxy-flow.ts";
import type { Answer, KafkaMessage } from "./proxy-protocols.ts";

export const kafkaApis = {
  produce: 0,
  fetch: 1,
  metadata: 3,
  addPartitionsToTxn: 24,
  addOffsetsToTxn: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
} as const;

/** Something that will be done to a message not yet seen. */
export interface Mishap<M extends Answer = Answer> {
  /** Resolves with the last message it was done to, when it has been done `count` times. */
  readonly happened: Promise<M>;
  /** Lets go of what is held; for a mishap that has not happened yet, calls it off. */
  release(): void;
  /** Throws away what is held, with its connection. */
  drop(): void;
}

export interface KafkaAnswers {
  readonly apiKey: number;
  /** Default 1. */
  readonly count?: number;
  /** Only of this client. */
  readonly clientId?: string;
  /** Only of this owner's transactions. */
  readonly transactionalId?: string;
}

type Deed = "swallow" | "hold" | "cut" | "mute" | "pass";

/** A mishap that is planned; `Link` is whatever the proxy calls a connection. */
export interface Rule<Link> {
  readonly deed: Deed;
  readonly isQuestion: boolean;
  readonly matches: (message: Answer) => boolean;
  readonly gate: Gate;
  readonly links: Set<Link>;
  left: number;
  readonly done: (message: Answer) => void;
}

export class MishapRules<Link> {
  readonly #rules = new Set<Rule<Link>>();
  readonly #drain: () => void;
  readonly #cut: (link: Link) => void;

  constructor(drain: () => void, cut: (link: Link) => void) {
    this.#drain = drain;
    this.#cut = cut;
  }

  planKafka(
    deed: Deed,
    { apiKey, count = 1, clientId, transactionalId }: KafkaAnswers,
    isQuestion = false,
  ): Mishap<KafkaMessage> {
    const matches = (message: Answer) =>
      message.protocol === "kafka" &&
      message.apiKey === apiKey &&
      (clientId === undefined || message.clientId === clientId) &&
      (transactionalId === undefined || message.transactionalId === transactionalId);
    return this.plan(deed, count, matches, isQuestion) as Mishap<KafkaMessage>;
  }

  plan(deed: Deed, count: number, matches: (message: Answer) => boolean, isQuestion = false): Mishap {
    const gate: Gate = { isOpen: false };
    let done: (message: Answer) => void = () => undefined;
    const happened = new Promise<Answer>((resolve) => {
      done = resolve;
    });
    const links = new Set<Link>();
    const rule: Rule<Link> = { deed, isQuestion, matches, gate, links, left: count, done };
    this.#rules.add(rule);
    const release = () => {
      this.#rules.delete(rule);
      gate.isOpen = true;
      this.#drain();
    };
    const drop = () => {
      this.#rules.delete(rule);
      for (const link of links) this.#cut(link);
    };
    return { happened, release, drop };
  }

  /** The rule for this message, counted down; the caller does the deed, and `done` when none is left. */
  take(message: Answer, isQuestion: boolean, link: Link): Rule<Link> | undefined {
    for (const rule of this.#rules) {
      if (rule.isQuestion !== isQuestion || rule.left === 0 || !rule.matches(message)) continue;
      rule.left -= 1;
      rule.links.add(link);
      return rule;
    }
    return undefined;
  }

  /** What is held passes; what is planned does not happen. */
  callOff(): void {
    for (const { gate } of this.#rules) gate.isOpen = true;
    this.#rules.clear();
  }
}

/**
 * Four repairs of kafkajs 2.2.4, made from outside and only on the version they were proven with.
 *
 * 1. The idle spin. `RequestQueue.scheduleCheckPendingRequests` computes a negative delay and so wakes
 *    some 860 times a second for as long as a connection lives, to look at an empty queue. Now it is
 *    only scheduled when something is pending; whatever becomes pending later schedules it itself. And every
 *    connection looks ten times a second for requests that take too long, whether any is under way or not:
 *    0.15 % of a core for each. Now it looks while one is.
 *
 * 2. The forgotten answers. A produce response has an error code for each partition, but kafkajs throws
 *    at the first one that is not 0: a single refused batch makes the outcome of all the others of the
 *    request unknown, and sending them again makes duplicates. With a `ResponseReader`, a producer gets
 *    the answers as the broker gave them. Nothing else in kafkajs needs that throw, as long as the
 *    reader's owner looks at every error code, and replaces the producer where the metadata is stale.
 *
 * 3. The coordinator that is looked up four times a transaction. kafkajs asks who coordinates before every
 *    single step, so that four of the nine round trips of a transaction are the same two questions. With
 *    `coordinators`, a client asks once, and again after any answer that is an error (the coordinator may
 *    have moved), save the one that only says "not yet".
 *
 * 4. The encoder. With `writeProduce`, the body of a produce request is written by its owner, who knows what
 *    its messages are (`kafka-produce-request.ts`); the request itself, its way and its answer stay kafkajs's.
 *
 * All but the first repair are bound to the socket factory of one producer, which is the one thing of ours that
 * kafkajs hands down to its connections. Every other kafkajs client of the process stays as it was.
 */
import { createRequire } from "node:module";
import { invariant } from "../foundation/errors.ts";
import type { ProduceOrder } from "./kafka-produce-request.ts";

/** The only version whose internals these repairs know; package.json pins it. */
export const kafkajsVersion = "2.2.4";

/** Sees the decoded responses of one producer before kafkajs judges them. */
export interface ResponseReader {
  /** May change what kafkajs is about to see. */
  readMetadata?(metadata: MetadataResponse): void;
  /** Puts another request in the place of one that kafkajs can only express in an older version. */
  replaceOffsetFetch?(): Exchange;
  /** Where the answers to "who coordinates?" are kept, while they hold. */
  readonly coordinators?: Map<string, unknown>;
  /** Makes a request that belongs to a send: once, several times, or not at all. */
  carryOut?(ask: () => Promise<unknown>): Promise<unknown>;
  /** Writes the body of a produce request in kafkajs's stead. */
  writeProduce?(order: ProduceOrder): Promise<Buffer>;
}

export interface MetadataResponse {
  readonly topicMetadata: {
    readonly topicErrorCode: number;
    readonly topic: string;
    readonly partitionMetadata: { partitionErrorCode: number; partitionId: number; leader: number }[];
  }[];
}

/** A request and how its answer is read, as kafkajs hands them to a connection. */
export interface Exchange {
  readonly request: { readonly apiName: string };
  readonly response: { decode(payload: Buffer): Promise<unknown>; parse(decoded: unknown): Promise<unknown> };
}

interface ConnectionPool {
  readonly socketFactory: object;
  send(exchange: Exchange): Promise<unknown>;
}

interface Broker {
  readonly connectionPool: ConnectionPool;
  lookupRequest(apiKey: number, definition: unknown): (order: ProduceOrder) => ProduceExchange;
  produce(order: ProduceOrder): Promise<unknown>;
  findGroupCoordinator(question: CoordinatorQuestion): Promise<unknown>;
}

interface ProduceExchange extends Exchange {
  readonly request: { readonly apiName: string; readonly apiVersion: number; encode(): Promise<unknown> };
}

interface CoordinatorQuestion {
  readonly groupId: string;
  /** 0: of a consumer group; 1: of a transactional.id. */
  readonly coordinatorType: number;
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly inflight: ReadonlyMap<unknown, SocketRequest>;
  readonly requestTimeout: number;
  readonly enforceRequestTimeout: boolean;
  requestTimeoutIntervalId: NodeJS.Timeout | undefined;
  isConnected(): boolean;
  scheduleCheckPendingRequests(): void;
  scheduleRequestTimeoutCheck(): void;
  sendSocketRequest(request: SocketRequest): void;
  destroy(): void;
}

interface SocketRequest {
  readonly sentAt: number;
  readonly requestTimeout: number;
  timeoutRequest(): void;
}

interface ClassOf<T> {
  readonly prototype: T;
}

const readers = new WeakMap<object, ResponseReader>();

/** Lets `reader` see what arrives over connections made by this socket factory. */
export function readResponses(socketFactory: object, reader: ResponseReader): void {
  readers.set(socketFactory, reader);
}

let isRepaired = false;

/** Idempotent. Throws INVARIANT when another kafkajs is installed than the one this was proven with. */
export function repairKafkajs(): void {
  if (isRepaired) return;
  const require = createRequire(import.meta.url);
  const { version } = require("kafkajs/package.json") as { version: string };
  invariant(
    version === kafkajsVersion,
    `kafkajs ${version} is installed, but only ${kafkajsVersion} was proven not to lose events: install that`,
  );
  const requestQueue = require("kafkajs/src/network/requestQueue") as ClassOf<RequestQueue>;
  stopIdleSpin(requestQueue);
  watchWhatIsInFlight(requestQueue);
  passAnswersOn(require("kafkajs/src/network/connectionPool") as ClassOf<ConnectionPool>);
  rememberCoordinators(require("kafkajs/src/broker") as ClassOf<Broker>);
  letOwnersWrite(require("kafkajs/src/broker") as ClassOf<Broker>);
  isRepaired = true;
}

function stopIdleSpin({ prototype }: ClassOf<RequestQueue>): void {
  const { scheduleCheckPendingRequests } = prototype;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) scheduleCheckPendingRequests.call(this);
  };
}

/** As often as kafkajs looks. */
const timeoutLookMs = 100;

function watchWhatIsInFlight({ prototype }: ClassOf<RequestQueue>): void {
  const { destroy, sendSocketRequest } = prototype;
  prototype.sendSocketRequest = function (this: RequestQueue, request) {
    sendSocketRequest.call(this, request);
    lookLater(this);
  };
  prototype.scheduleRequestTimeoutCheck = function (this: RequestQueue) {
    this.destroy();
    lookLater(this);
  };
  prototype.destroy = function (this: RequestQueue) {
    destroy.call(this);
    // A connection may be opened again: what it sends then has to be watched as well.
    this.requestTimeoutIntervalId = undefined;
  };
}

function lookLater(queue: RequestQueue): void {
  const { enforceRequestTimeout, inflight, requestTimeout } = queue;
  if (!enforceRequestTimeout || inflight.size === 0 || queue.requestTimeoutIntervalId !== undefined) return;
  queue.requestTimeoutIntervalId = setTimeout(
    () => {
      queue.requestTimeoutIntervalId = undefined;
      for (const request of [...inflight.values()])
        if (Date.now() - request.sentAt > request.requestTimeout) request.timeoutRequest();
      if (queue.isConnected()) lookLater(queue);
    },
    Math.min(requestTimeout, timeoutLookMs),
  );
}

function passAnswersOn({ prototype }: ClassOf<ConnectionPool>): void {
  const { send } = prototype;
  prototype.send = async function (this: ConnectionPool, exchange: Exchange) {
    const reader = readers.get(this.socketFactory);
    if (reader === undefined) return send.call(this, exchange);
    const ask = async () => {
      try {
        return await send.call(this, readBy(reader, exchange));
      } catch (error) {
        if (!isNotYet(error)) reader.coordinators?.clear();
        throw error;
      }
    };
    const isOfSend = sendRequests.includes(exchange.request.apiName);
    return isOfSend && reader.carryOut !== undefined ? reader.carryOut(ask) : ask();
  };
}

/** The transaction before is still being carried out: the usual answer right after a commit. */
export function isNotYet(error: unknown): boolean {
  return error instanceof Error && "type" in error && error.type === "CONCURRENT_TRANSACTIONS";
}

function rememberCoordinators({ prototype }: ClassOf<Broker>): void {
  const { findGroupCoordinator } = prototype;
  prototype.findGroupCoordinator = async function (this: Broker, question: CoordinatorQuestion) {
    const known = readers.get(this.connectionPool.socketFactory)?.coordinators;
    const key = `${question.coordinatorType} ${question.groupId}`;
    const answer = known?.get(key) ?? (await findGroupCoordinator.call(this, question));
    known?.set(key, answer);
    return answer;
  };
}

/** The same broker, but for what it looks up: a produce request whose body is the owner's. */
function letOwnersWrite({ prototype }: ClassOf<Broker>): void {
  const { produce } = prototype;
  prototype.produce = function (this: Broker, order: ProduceOrder) {
    const owner = readers.get(this.connectionPool.socketFactory);
    if (owner?.writeProduce === undefined) return produce.call(this, order);
    const write = owner.writeProduce;
    const lookupRequest: Broker["lookupRequest"] = (apiKey, definition) => (asked) => {
      const exchange = this.lookupRequest(apiKey, definition)(asked);
      const { apiVersion } = exchange.request;
      invariant(apiVersion >= 3, `this broker takes no record batches (Produce version ${apiVersion})`);
      const encode = async () => asEncoder(await write(order));
      return { ...exchange, request: { ...exchange.request, encode } };
    };
    return produce.call(Object.create(this, { lookupRequest: { value: lookupRequest } }) as Broker, order);
  };
}

/** What kafkajs reads of an encoder that it was given. */
function asEncoder(bytes: Buffer): { readonly buf: Buffer; readonly buffer: Buffer } {
  return { buf: bytes, buffer: bytes };
}

/** What a send consists of. */
const sendRequests: readonly string[] = ["AddPartitionsToTxn", "Produce"];

function readBy(reader: ResponseReader, exchange: Exchange): Exchange {
  const { request, response } = exchange;
  switch (request.apiName) {
    case "Produce":
      return { ...exchange, response: { decode: response.decode, parse: async (decoded) => decoded } };
    case "Metadata": {
      const parse = async (decoded: unknown) => {
        reader.readMetadata?.(decoded as MetadataResponse);
        return response.parse(decoded);
      };
      return { ...exchange, response: { decode: response.decode, parse } };
    }
    case "OffsetFetch":
      return reader.replaceOffsetFetch?.() ?? exchange;
    default:
      return exchange;
  }
}

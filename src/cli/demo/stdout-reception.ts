/** The consumer of the demo where events go to the relay's standard output: a line is an event. */

import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { Arrival } from "../trial/kafka-reception.ts";

/** Resolves when the relay has ended and all it wrote has been handed on. */
export async function receiveLines(events: Readable, onArrival: (arrival: Arrival) => void): Promise<void> {
  // Not `readline`: it also breaks lines at U+2028, which may stand in a payload.
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of events) {
    const lines = (rest + decoder.write(chunk as Buffer)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onArrival(arrivalOf(line));
  }
}

interface Line {
  readonly topic: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly valueBase64?: string;
}

/** One line of the stdout publisher. The payload is cut out of the text, so that its very bytes are compared. */
export function arrivalOf(line: string): Arrival {
  const { topic, key, headers, valueBase64 } = JSON.parse(line) as Line;
  const head = `{"topic":${JSON.stringify(topic)},"key":${JSON.stringify(key)},"headers":${JSON.stringify(headers)},"value":`;
  return {
    topic,
    // One pipe keeps the order of everything, so a topic is a single partition here.
    partition: topic,
    key,
    headers,
    payload: valueBase64 === undefined ? line.slice(head.length, -1) : Buffer.from(valueBase64, "base64"),
  };
}

/** A port of 127.0.0.1 on which nothing listens. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { OutriderError } from "../foundation/errors.ts";

/**
 * Below the range from which operating systems take the ports of outgoing connections: a server that
 * is killed and started again would otherwise find its port taken by somebody's client.
 */
const lowest = 20_000;
const highest = 32_000;
const triesMax = 100;

const handedOut = new Set<number>();

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(lowest, highest);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    return port;
  }
  throw new OutriderError("PART_MISSING", `no free port between ${lowest} and ${highest} on 127.0.0.1`, {
    repair: "end the servers that occupy them",
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

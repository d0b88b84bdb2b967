/** The end of a producer is final: its sockets are gone, and it can open no other. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Sockets } from "../../src/publisher/kafka-sockets.ts";

let server: Server;
let sockets: Sockets;

beforeEach(async () => {
  server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(server, "listening");
  sockets = new Sockets();
});
afterEach(() => server.close());

async function open(): Promise<{ readonly ours: Socket; readonly theirs: Socket }> {
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const ours = await new Promise<Socket>((resolve) => {
    const socket = sockets.factory({
      host: "127.0.0.1",
      port,
      ssl: false as never,
      onConnect: () => resolve(socket),
    });
  });
  return { ours, theirs: (await accepted)[0] };
}

describe("the sockets of a producer", () => {
  it("end in peace while all is well", async () => {
    const { ours, theirs } = await open();
    theirs.resume();
    ours.end();
    await once(theirs, "end");
    sockets.sever();
  });

  it("end by a reset after a failure, so that nothing still under way is delivered", async () => {
    const { ours, theirs } = await open();
    theirs.removeAllListeners("error");
    sockets.taint();
    ours.end();
    expect((await once(theirs, "error"))[0]).toMatchObject({ code: "ECONNRESET" });
  });

  it("are gone once severed, which whoever waits for them hears; and no new one can be opened", async () => {
    const { ours, theirs } = await open();
    const heard = once(ours, "error");
    theirs.resume();
    const closed = new Promise((resolve) => theirs.once("close", resolve));
    sockets.sever();
    expect((await heard)[0]).toMatchObject({ message: "connection given up" });
    await closed;
    sockets.sever();
    await expect(open()).rejects.toThrow("disposed of");
  });

  it("can be severed after they were ended: resetting one of those would leak it", async () => {
    const { ours, theirs } = await open();
    const failed: unknown[] = [];
    ours.on("error", (error) => failed.push(error));
    ours.end();
    const closed = once(theirs.resume(), "close");
    sockets.sever();
    await closed;
    expect([ours.destroyed, failed]).toEqual([true, []]);
  });
});

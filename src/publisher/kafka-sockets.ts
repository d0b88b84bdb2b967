/**
 * The sockets of one producer, so that its end can be made final.
 *
 * kafkajs has no way to abandon a send: it may dial again after `disconnect()`, and bytes it has handed
 * to a stalled connection are delivered whenever the network heals, maybe long after the same events
 * were sent again. So we hold the sockets: once severed, all of them are gone, what was still waiting
 * in them is dropped, and no new one can be opened.
 */
import { connect as dial, isIP, type Socket } from "node:net";
import { connect as dialTls, TLSSocket } from "node:tls";
import type { ISocketFactory } from "kafkajs";

const keepAliveDelayMs = 30_000;

export class Sockets {
  readonly #open = new Set<Socket>();
  #isSevered = false;

  /** For kafkajs. Also names this producer to `kafkajs-repairs.ts`. */
  readonly factory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
    if (this.#isSevered) throw new Error("this producer was disposed of");
    const serverName = isIP(host) === 0 ? { servername: host } : undefined;
    const socket = ssl
      ? dialTls({ host, port, ...serverName, ...ssl }, onConnect)
      : dial({ host, port }, onConnect);
    socket.setKeepAlive(true, keepAliveDelayMs);
    socket.setNoDelay(true);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    return socket;
  };

  /** Idempotent. kafkajs hears of it as an error of each connection, and rejects what it waits for. */
  sever(): void {
    this.#isSevered = true;
    for (const socket of this.#open) {
      // A reset drops what the kernel still holds. It has to wait for what Node.js itself still holds,
      // which never ends on a stalled connection; and resetting below TLS ends the whole process.
      if (socket instanceof TLSSocket || socket.connecting || socket.writableLength > 0) {
        socket.destroy(new Error("connection given up"));
      } else {
        socket.resetAndDestroy();
        socket.emit("error", new Error("connection given up"));
      }
    }
    this.#open.clear();
  }
}

/**
 * The sockets of one producer, so that its end can be made final.
 *
 * kafkajs has no way to abandon a send: it may dial again after `disconnect()`, and bytes it has handed
 * to a stalled connection are delivered whenever the network heals, maybe long after the same events
 * were sent again. So we hold the sockets. After a failure they end by a reset, which drops what is
 * still under way; and once severed, all of them are gone and no new one can be opened.
 *
 * Below TLS there is no reset (Node.js does not survive it): what the kernel holds is still delivered.
 * Then the replay comes late, as after the crash of a relay; it is a duplicate, never a loss.
 */
import { connect as dial, isIP, type Socket } from "node:net";
import { connect as dialTls, TLSSocket } from "node:tls";
import type { ISocketFactory } from "kafkajs";

const keepAliveDelayMs = 30_000;

export class Sockets {
  readonly #open = new Set<Socket>();
  #isTainted = false;
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
    // kafkajs calls it without arguments, when it is done with a connection.
    const end = socket.end.bind(socket);
    socket.end = () => (this.#isTainted ? drop(socket) : end());
    return socket;
  };

  /** From now on a connection that kafkajs ends drops what it still holds. */
  taint(): void {
    this.#isTainted = true;
  }

  /** Idempotent. kafkajs hears of it as an error of each connection, and rejects what it waits for. */
  sever(): void {
    this.#isSevered = true;
    for (const socket of this.#open) {
      const isInUse = !socket.writableEnded && !socket.destroyed;
      drop(socket);
      if (isInUse) socket.emit("error", new Error("connection given up"));
    }
    this.#open.clear();
  }
}

function drop(socket: Socket): Socket {
  // A socket that was ended before cannot be reset: Node.js would leak it, and spin on what it leaked.
  const canReset = !(socket instanceof TLSSocket) && !socket.connecting && !socket.writableEnded;
  return canReset && !socket.destroyed ? socket.resetAndDestroy() : socket.destroy();
}

/**
 * The HTTP endpoint: a handful of pages to read, for probes and for Prometheus. It answers GET and HEAD,
 * changes nothing, asks neither PostgreSQL nor Kafka, and shows nothing of the settings.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";

export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Makes a page; `isVerbose` when the address ends in `?verbose`. */
export type Route = (isVerbose: boolean) => Page | Promise<Page>;

export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** Whoever opens more connections than this is refused; probes and a scraper need three. */
const connectionsMax = 64;
const headerBytesMax = 8_192;
const requestTimeoutMs = 5_000;

export class HttpEndpoint implements Lifecycle {
  readonly #address: HttpAddress;
  readonly #routes: Readonly<Record<string, Route>>;
  readonly #remark: (message: string) => void;
  readonly #server: Server;
  #isStopped = false;

  /** `remark` is told of a page that could not be made, and of trouble with the socket. */
  constructor(
    address: HttpAddress,
    routes: Readonly<Record<string, Route>>,
    remark: (message: string) => void,
  ) {
    this.#address = address;
    this.#routes = routes;
    this.#remark = remark;
    this.#server = createServer({
      maxHeaderSize: headerBytesMax,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
    });
    this.#server.maxConnections = connectionsMax;
    this.#server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.#answer(request, response);
    });
  }

  /** @throws OutriderError HTTP_REFUSED when the address cannot be had. */
  async start(): Promise<void> {
    if (this.#isStopped || this.#server.listening) return;
    const { host, port } = this.#address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) => reject(refusal(host, port, error)));
      this.#server.listen({ host, port }, resolve);
    });
    this.#server.removeAllListeners("error");
    this.#server.on("error", (error) => this.#remark(`HTTP: ${messageOf(error)}`));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // A scraper keeps its connection; it would keep the process as well.
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    const [path = "", query = ""] = url.split("?", 2);
    const page = await this.#pageOf(method, path, new URLSearchParams(query).has("verbose"));
    // Nobody reads a body that was sent along; the connection is not used again.
    if (method !== "GET" && method !== "HEAD") response.setHeader("connection", "close");
    if (page.status === 405) response.setHeader("allow", "GET, HEAD");
    response.writeHead(page.status, {
      "content-type": page.contentType,
      "content-length": Buffer.byteLength(page.body),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    response.end(method === "HEAD" ? undefined : page.body);
  }

  async #pageOf(method: string, path: string, isVerbose: boolean): Promise<Page> {
    const route = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined;
    if (route === undefined)
      return text(404, `not found; there is ${Object.keys(this.#routes).join(", ")}\n`);
    if (method !== "GET" && method !== "HEAD") return text(405, "GET and HEAD only\n");
    try {
      return await route(isVerbose);
    } catch (error) {
      this.#remark(`HTTP: ${path} could not be made: ${messageOf(error)}`);
      return text(500, "this page could not be made; the log says why\n");
    }
  }
}

export function text(status: number, body: string): Page {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

export function json(status: number, value: object): Page {
  return { status, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
}

function refusal(host: string, port: number, { code, message }: NodeJS.ErrnoException): OutriderError {
  const why =
    code === "EADDRINUSE"
      ? "another process listens there"
      : code === "EACCES"
        ? "this user may not listen there"
        : message;
  return new OutriderError("HTTP_REFUSED", `cannot listen on ${host}, port ${port}: ${why}`, {
    repair:
      "set OUTRIDER_HTTP_PORT to a free port (0 turns the endpoint off) and OUTRIDER_HTTP_HOST to an address of this machine",
  });
}

import { Agent, request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../../../src/environment/free-port.ts";
import { HttpEndpoint, type Route, text } from "../../../src/observability/http-endpoint.ts";

const open: HttpEndpoint[] = [];
afterEach(() => Promise.all(open.splice(0).map((endpoint) => endpoint.stop())));

async function listening(routes: Readonly<Record<string, Route>>) {
  const remarks: string[] = [];
  const port = await freePort();
  const endpoint = new HttpEndpoint({ host: "127.0.0.1", port }, routes, (remark) => remarks.push(remark));
  open.push(endpoint);
  await endpoint.start();
  return {
    endpoint,
    port,
    remarks,
    ask: (path: string, method = "GET", agent?: Agent) => ask(port, path, method, agent),
  };
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function ask(port: number, path: string, method: string, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: "127.0.0.1",
      port,
      path,
      method,
      ...(agent === undefined ? {} : { agent }),
    });
    asked.on("error", reject).on("response", (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += String(chunk);
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    asked.end();
  });
}

const page = { "/page": (isVerbose: boolean) => text(200, isVerbose ? "all of it" : "ok") };

describe("the HTTP endpoint", () => {
  it("answers GET, and HEAD without the body", async () => {
    const { ask } = await listening(page);
    expect(await ask("/page")).toMatchObject({ status: 200, body: "ok" });
    expect(await ask("/page?verbose")).toMatchObject({ body: "all of it" });
    expect(await ask("/page?verbose=1&more")).toMatchObject({ body: "all of it" });
    const head = await ask("/page", "HEAD");
    expect(head).toMatchObject({ status: 200, body: "", headers: { "content-length": "2" } });
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS"])("refuses %s", async (method) => {
    const { ask } = await listening(page);
    expect(await ask("/page", method)).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });

  it.each(["/", "/other", "/page/", "/__proto__", "/constructor", "//page"])("has no %s", async (path) => {
    const { ask } = await listening(page);
    expect((await ask(path)).status).toBe(404);
  });

  it("says nothing of what went wrong to whoever asked, and all of it to the log", async () => {
    const { ask, remarks } = await listening({
      "/page": () => {
        throw new Error("the inside");
      },
    });
    const answer = await ask("/page");
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain("inside");
    expect(remarks.join()).toContain("the inside");
  });

  it("refuses a port that is taken, and starts there when it is free again", async () => {
    const { endpoint, port } = await listening(page);
    const second = new HttpEndpoint({ host: "127.0.0.1", port }, page, () => undefined);
    await expect(second.start()).rejects.toMatchObject({ code: "HTTP_REFUSED", exitCode: 78 });
    await second.stop();
    await endpoint.stop();
    const third = new HttpEndpoint({ host: "127.0.0.1", port }, page, () => undefined);
    await third.start();
    await third.stop();
  });

  it("stops at once although a client keeps its connection, and does not start after a stop", async () => {
    const { endpoint, ask } = await listening(page);
    const agent = new Agent({ keepAlive: true });
    await ask("/page", "GET", agent);
    await endpoint.stop();
    await endpoint.stop();
    await endpoint.start();
    await expect(ask("/page")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    agent.destroy();
  });
});

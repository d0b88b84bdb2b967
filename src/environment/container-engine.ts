/** Whether a container engine answers: a few milliseconds, so that asking costs nothing. */
import { connect } from "node:net";
import { homedir, userInfo } from "node:os";

const answerTimeoutMs = 500;

export type EngineAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * Where an engine may listen. A DOCKER_HOST that is set is the only one asked: whoever sets it means
 * it. One that cannot be reached from here by a plain connection (ssh://) counts as none.
 */
export function engineAddresses(env: NodeJS.ProcessEnv, home: string, uid: number): readonly EngineAddress[] {
  const given = env.DOCKER_HOST;
  if (given === undefined || given === "") {
    const sockets = ["/var/run/docker.sock", `${home}/.docker/run/docker.sock`];
    const runtime = env.XDG_RUNTIME_DIR || `/run/user/${uid}`;
    return [...sockets, `${runtime}/docker.sock`, `${home}/.docker/desktop/docker.sock`].map((path) => ({
      path,
    }));
  }
  if (given.startsWith("unix://")) return [{ path: given.slice("unix://".length) }];
  if (!URL.canParse(given)) return [];
  const { protocol, hostname, port } = new URL(given);
  if (!["tcp:", "http:", "https:"].includes(protocol) || hostname === "") return [];
  return [
    { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (protocol === "https:" ? 2376 : 2375)) },
  ];
}

export async function hasContainerEngine(env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  const answers = await Promise.all(engineAddresses(env, homedir(), userInfo().uid).map(answersAt));
  return answers.includes(true);
}

function answersAt(address: EngineAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const settle = (isAnswering: boolean) => {
      socket.destroy();
      resolve(isAnswering);
    };
    socket.setTimeout(answerTimeoutMs, () => settle(false));
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

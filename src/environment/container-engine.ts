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
  const match = /^(tcp|http|https):(\/\/.+)$/.exec(given);
  // As tcp:, because URL forgets a port that http: or https: would have anyway.
  if (match === null || !URL.canParse(`tcp:${match[2]}`)) return [];
  const { hostname, port } = new URL(`tcp:${match[2]}`);
  const usual = match[1] === "https" ? 2376 : 2375;
  return [{ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || usual) }];
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

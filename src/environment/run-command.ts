/** Runs a program to its end; what it printed is for the error message. */
import { spawn } from "node:child_process";
import { OutriderError } from "../foundation/errors.ts";
import type { UnixOwner } from "./server-process.ts";

export interface CommandOutcome {
  readonly status: number;
  readonly output: string;
}

export interface CommandOptions {
  readonly owner?: UnixOwner | undefined;
  readonly cwd?: string;
}

/** Undefined when there is no such program. */
export function tryCommand(
  file: string,
  args: readonly string[],
  { owner, cwd }: CommandOptions = {},
): Promise<CommandOutcome | undefined> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], cwd, ...owner });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.once("error", () => resolve(undefined));
    child.once("close", (status) =>
      resolve({ status: status ?? 1, output: Buffer.concat(chunks).toString().trim() }),
    );
  });
}

export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const outcome = await tryCommand(file, args, options);
  if (outcome === undefined) {
    throw new OutriderError(
      "PART_MISSING",
      `${file} cannot be run: it is missing, or not readable by its user`,
    );
  }
  if (outcome.status !== 0) {
    const tail = outcome.output.split("\n").slice(-8).join("\n");
    throw new OutriderError("PART_MISSING", `${file} failed with status ${outcome.status}\n${tail}`);
  }
  return outcome.output;
}

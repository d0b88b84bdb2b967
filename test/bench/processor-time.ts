/** Processor time and memory of processes, from /proc: what a run costs does not depend on who else is on the machine. */
import { readdirSync, readFileSync } from "node:fs";

/** `getconf CLK_TCK` on every Linux that Node.js runs on: a tick is 10 ms. */
const microsPerTick = 10_000;

interface Usage {
  readonly parent: number;
  /** Of the process itself, in microseconds. */
  readonly own: number;
  /** Of its children that have ended. */
  readonly reaped: number;
}

function usageOf(pid: number, thread?: string): Usage | undefined {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/${thread === undefined ? "" : `task/${thread}/`}stat`, "utf8");
  } catch {
    // It ended between the listing and the reading; its parent has its time by now.
    return undefined;
  }
  // The name of the program may hold spaces and brackets: counted is from behind its last one.
  const fields = line.slice(line.lastIndexOf(") ") + 2).split(" ");
  const ticks = (from: number) => Number(fields[from]) + Number(fields[from + 1]);
  return { parent: Number(fields[1]), own: ticks(11) * microsPerTick, reaped: ticks(13) * microsPerTick };
}

export function processorMicros(pid: number): number {
  return usageOf(pid)?.own ?? 0;
}

/** Of a process and all its children, those that have ended among them: PostgreSQL with every backend. */
export function familyProcessorMicros(pid: number): number {
  const head = usageOf(pid);
  let sum = (head?.own ?? 0) + (head?.reaped ?? 0);
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const usage = usageOf(Number(name));
    if (usage?.parent === pid) sum += usage.own;
  }
  return sum;
}

/** Of the threads in which a Java program turns its hot code into machine code. */
export function compilerMicros(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8");
    if (/^C[12] /.test(name)) sum += usageOf(pid, thread)?.own ?? 0;
  }
  return sum;
}

/** The most memory that a process has had resident. */
export function peakMegabytes(pid: number): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kilobytes) / 1024);
}

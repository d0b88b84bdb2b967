/** What a process costs, read at a scrape; nothing runs between two of them. */
import { performance } from "node:perf_hooks";
import { memoryUsage, resourceUsage } from "node:process";
import type { Clock } from "../foundation/clock.ts";
import type { Registry } from "./registry.ts";

/** Counters that the system keeps itself: they are brought up to what it says. */
type KeptName =
  | "process_cpu_user_seconds_total"
  | "process_cpu_system_seconds_total"
  | "nodejs_eventloop_active_seconds_total";

export async function readProcess(registry: Registry, clock: Clock): Promise<void> {
  const bringUpTo = (name: KeptName, value: number) =>
    registry.add(name, Math.max(0, value - registry.valueOf(name)));
  const { userCPUTime, systemCPUTime } = resourceUsage();
  bringUpTo("process_cpu_user_seconds_total", userCPUTime / 1e6);
  bringUpTo("process_cpu_system_seconds_total", systemCPUTime / 1e6);
  bringUpTo("nodejs_eventloop_active_seconds_total", performance.eventLoopUtilization().active / 1000);
  const { rss, heapUsed } = memoryUsage();
  registry.set("process_resident_memory_bytes", rss);
  registry.set("nodejs_heap_size_used_bytes", heapUsed);
  registry.set("process_start_time_seconds", performance.timeOrigin / 1000);
  registry.set("nodejs_eventloop_lag_seconds", (await lagMs(clock)) / 1000);
}

async function lagMs(clock: Clock): Promise<number> {
  const startedMs = clock.monotonicMs();
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
  return clock.monotonicMs() - startedMs;
}

/** Milliseconds of CLOCK_MONOTONIC: one clock for all processes of the machine, and it never steps. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

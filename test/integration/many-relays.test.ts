/**
 * Three relays as processes on one outbox: fair shares after each change of the fleet, takeovers in
 * time, and, by the lease table's own log, no shard under two leases that were trusted at once.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, inject, it } from "vitest";
import { fleetRow } from "../faults/fleet.ts";
import { lineOf } from "../faults/report.ts";
import { runRow } from "../faults/row.ts";
import { Stage } from "../faults/stage.ts";
import { RelayProcess } from "../support/relay-process.ts";

afterEach(() => RelayProcess.endAll());

it("shares 64 shards fairly among relays that come, die and stop", { timeout: 120_000 }, async () => {
  const seed = Math.floor(Math.random() * 1e6);
  const directory = await mkdtemp(join(tmpdir(), "outrider-relays-"));
  const stage = await Stage.around(inject("postgresUrl"), inject("kafkaBrokers"));
  try {
    const result = await runRow(stage, fleetRow, seed, { directory, isTimed: false });
    console.log(`seed ${seed}, history in ${directory}\n${lineOf(result)}`);
    expect(result).toMatchObject({ violations: [], missing: 0, phantom: 0, inversions: 0 });
    // Nobody keeps more than its share; who comes last may have a little less.
    expect(Math.max(...[result.figures?.sharesAtStart ?? 0].flat())).toBe(22);
    expect(result.figures).toMatchObject({
      sharesAfterKill: [32, 32],
      sharesAlone: [64],
      sharesAfterJoin: [16, 16, 16, 16],
    });
  } finally {
    await stage.close();
  }
});

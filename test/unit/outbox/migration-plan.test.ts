import { describe, expect, it } from "vitest";
import { OutriderError } from "../../../src/foundation/errors.ts";
import type { Migration } from "../../../src/outbox/migration-files.ts";
import { planMigrations } from "../../../src/outbox/migration-plan.ts";

const known: Migration[] = ["0001_a", "0002_b", "0003_c"].map((name) => ({
  name,
  up: `up ${name}`,
  down: `down ${name}`,
  checksum: `sum ${name}`,
}));
const applied = (...names: string[]) => names.map((name) => ({ name, checksum: `sum ${name}` }));
const namesOf = (plan: readonly Migration[]) => plan.map(({ name }) => name);

function caught(work: () => unknown): OutriderError {
  try {
    work();
  } catch (error) {
    if (error instanceof OutriderError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("which migrations a run touches", () => {
  it("applies what is missing, oldest first", () => {
    expect(namesOf(planMigrations(known, [], { direction: "up" }))).toEqual(["0001_a", "0002_b", "0003_c"]);
    expect(namesOf(planMigrations(known, applied("0001_a"), { direction: "up" }))).toEqual([
      "0002_b",
      "0003_c",
    ]);
    expect(planMigrations(known, applied("0003_c", "0001_a", "0002_b"), { direction: "up" })).toEqual([]);
  });

  it("leaves the narrow fence to those who ask for it, and takes it along on every way down of the outbox", () => {
    const names = ["0001_a", "0002_inbox", "0003_narrow_fence"];
    const some = names.map((name) => ({ name, up: "", down: "", checksum: `sum ${name}` }));
    const up = (target: object) => namesOf(planMigrations(some, [], { direction: "up", ...target }));
    const down = (target: object) =>
      namesOf(planMigrations(some, applied(...names), { direction: "down", ...target }));
    expect(up({})).toEqual(["0001_a", "0002_inbox"]);
    expect(up({ narrowFence: true })).toEqual(names);
    expect(up({ narrowFence: true, only: "outbox" })).toEqual(["0001_a", "0003_narrow_fence"]);
    expect(up({ narrowFence: true, only: "inbox" })).toEqual(["0002_inbox"]);
    expect(up({ only: "narrow-fence" })).toEqual(["0003_narrow_fence"]);
    expect(up({ to: "0003_narrow_fence" })).toEqual(names);
    expect(down({})).toEqual(names.toReversed());
    expect(down({ only: "outbox" })).toEqual(["0003_narrow_fence", "0001_a"]);
    expect(down({ only: "narrow-fence" })).toEqual(["0003_narrow_fence"]);
    expect(down({ only: "inbox" })).toEqual(["0002_inbox"]);
  });

  it("brings a narrow fence that is there up to date without being asked again", () => {
    const names = ["0001_a", "0002_narrow_fence", "0003_narrow_fence_slots"];
    const some = names.map((name) => ({ name, up: "", down: "", checksum: `sum ${name}` }));
    const up = (...there: string[]) => namesOf(planMigrations(some, applied(...there), { direction: "up" }));
    expect(up("0001_a")).toEqual([]);
    expect(up("0001_a", "0002_narrow_fence")).toEqual(["0003_narrow_fence_slots"]);
  });

  it("reverts what is applied, newest first", () => {
    expect(namesOf(planMigrations(known, applied("0001_a", "0002_b"), { direction: "down" }))).toEqual([
      "0002_b",
      "0001_a",
    ]);
    expect(planMigrations(known, [], { direction: "down" })).toEqual([]);
  });

  it("stops at the given one: the last to apply, or the last to keep", () => {
    expect(namesOf(planMigrations(known, [], { direction: "up", to: "0002_b" }))).toEqual([
      "0001_a",
      "0002_b",
    ]);
    const all = applied("0001_a", "0002_b", "0003_c");
    expect(namesOf(planMigrations(known, all, { direction: "down", to: "0001_a" }))).toEqual([
      "0003_c",
      "0002_b",
    ]);
  });

  it("refuses a name it does not have, and says which there are", () => {
    const error = caught(() => planMigrations(known, [], { direction: "up", to: "0009_z" }));
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain("0009_z");
    expect(error.repair).toContain("0001_a, 0002_b, 0003_c");
  });

  it.each(["up", "down"] as const)("refuses a database that is newer (%s)", (direction) => {
    const error = caught(() => planMigrations(known, applied("0001_a", "0004_d"), { direction }));
    expect(error.code).toBe("SCHEMA_NEWER");
    expect(error.message).toContain("0004_d");
    expect(error.message).not.toContain("0001_a");
  });

  it.each(["up", "down"] as const)(
    "refuses a file that was edited after it was applied (%s)",
    (direction) => {
      const error = caught(() =>
        planMigrations(known, [...applied("0001_a"), { name: "0002_b", checksum: "other" }], { direction }),
      );
      expect(error.code).toBe("MIGRATION_FAILED");
      expect(error.message).toContain("0002_b");
      expect(error.message).not.toContain("0001_a");
    },
  );
});

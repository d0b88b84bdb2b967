import { describe, expect, it } from "vitest";
import { knownMigrations } from "../../../src/outbox/migration-files.ts";
import { checkSchemaName, openingOf, renderSql } from "../../../src/outbox/migration-script.ts";
import { all, shipped } from "../../support/migration-names.ts";

describe("the shipped files", () => {
  const migrations = knownMigrations();

  it("are numbered without a gap and come in pairs", () => {
    expect(migrations.length).toBeGreaterThanOrEqual(2);
    migrations.forEach(({ name, up, down }, index) => {
      expect(name).toMatch(/^\d{4}_[a-z_]+$/);
      expect(Number(name.slice(0, 4))).toBe(index + 1);
      expect(up.trim()).not.toBe("");
      expect(down.trim()).not.toBe("");
    });
  });

  it("end no transaction and quote in no way that the script wraps them in", () => {
    for (const text of migrations.flatMap(({ up, down }) => [up, down])) {
      expect(text).not.toMatch(/^\s*(commit|rollback|begin;|start transaction)/im);
      expect(text).not.toContain("$outrider_");
      // A backslash would mean something else where standard_conforming_strings is off.
      expect(text).not.toContain("\\");
    }
  });

  it("name no schema: search_path decides", () => {
    for (const { up, down } of migrations) {
      expect(`${up}${down}`).not.toMatch(/\bpublic\b/);
      expect(`${up}${down}`).not.toMatch(/[a-z_]+\.undispatched_events\b/);
    }
  });
});

describe("the script", () => {
  it("is one transaction, whatever it does", () => {
    for (const direction of ["up", "down"] as const) {
      const lines = renderSql({ schema: "public", direction }).split("\n");
      expect(lines.filter((line) => line.startsWith("begin isolation")).length).toBe(1);
      expect(lines.filter((line) => line === "commit;").length).toBe(1);
    }
  });

  it("applies forwards and reverts backwards", () => {
    const order = (text: string) => [...text.matchAll(/where name = '(\d{4})/g)].map(([, number]) => number);
    const numbersOf = (names: readonly string[]) => names.map((name) => name.slice(0, 4));
    expect(order(renderSql({ schema: "s" }))).toEqual(numbersOf(all));
    expect(order(renderSql({ schema: "s", narrowFence: true }))).toEqual(numbersOf(shipped));
    const down = order(renderSql({ schema: "s", direction: "down" }));
    expect([...new Set(down)]).toEqual(numbersOf(shipped).toReversed());
    expect(order(renderSql({ schema: "s", to: "0001_undispatched_events" }))).toEqual(["0001"]);
  });

  it("quotes the schema as a literal and as an identifier, and never inside a body", () => {
    const text = openingOf({ schema: `a"b'c\\d$outrider$` });
    expect(text).toContain(`set local outrider.schema =  E'a"b''c\\\\d$outrider$';`);
    expect(text).toContain(`set local search_path = "a""b'c\\d$outrider$", pg_temp;`);
    expect(text.split('a"').length).toBe(3);
  });

  it("refuses names that PostgreSQL would cut or refuse", () => {
    expect(() => checkSchemaName("x".repeat(63))).not.toThrow();
    for (const name of ["", "x".repeat(64), "ü".repeat(32), "a\0b"]) {
      expect(() => checkSchemaName(name)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    }
  });
});

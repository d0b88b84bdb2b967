import { describe, expect, it } from "vitest";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { answering } from "../../../src/foundation/transaction-answer.ts";
import { type AnsweringTransaction, type EventIdSource, inbox } from "../../../src/index.ts";

const id = "0193a0e2-0000-7000-8000-00000000000a";
const hour = 3_600_000;

/** Answers every question with these texts, and writes down what it is told. */
function scripted(answer: readonly string[]) {
  const said: string[] = [];
  const transaction: AnsweringTransaction = {
    execute: async (sql) => {
      said.push(sql);
    },
    ask: async (sql, texts) => {
      said.push(sql, ...texts.map(String));
      return answer;
    },
  };
  return { transaction, said };
}

/** The message of INBOX_INVALID; fails when the database was touched, or nothing was wrong. */
async function faultsOf(run: (transaction: AnsweringTransaction) => Promise<unknown>): Promise<string> {
  const { transaction, said } = scripted([id]);
  const outcome = await run(transaction).catch((thrown: unknown) => thrown);
  expect(said).toEqual([]);
  if (!(outcome instanceof OutriderError)) throw new Error(`accepted: ${String(outcome)}`);
  expect(outcome.code).toBe("INBOX_INVALID");
  return outcome.message;
}

const nothing = async () => undefined;

describe("what the inbox is given", () => {
  it.each([
    ["is no UUID", "order-1"],
    ["is no UUID", ""],
    ["is no UUID", id.slice(1)],
    ["is no UUID", `{${id}}`],
    ["is no UUID", Buffer.from([0xff, 0xfe])],
    ["is missing", undefined],
    ["is missing", null],
    ["is a list", [id, id]],
    ["is no UUID", 42],
  ])("is refused when the event id %s (%#)", async (problem, given) => {
    const message = await faultsOf((transaction) =>
      inbox.once(transaction, "billing", given as EventIdSource, nothing),
    );
    expect(message).toContain(`the event id ${problem}`);
  });

  it.each(["", undefined, 1, "a\0", "\ud800", "x".repeat(256), "😀".repeat(256)])(
    "is refused for the consumer (%#)",
    async (consumer) => {
      const message = await faultsOf((transaction) =>
        inbox.once(transaction, consumer as string, id, nothing),
      );
      expect(message).toContain("consumer");
    },
  );

  it("is refused with all faults at once, and without a word of what was given", async () => {
    const secret = "4111-1111-1111-1111";
    const message = await faultsOf((transaction) =>
      inbox.once(transaction, "", secret, nothing, { schema: "" }),
    );
    expect(message).toMatch(/^3 faults, no work was run: /);
    expect(message).not.toContain("4111");
  });

  it("is refused by place in a batch, and when there are too many", async () => {
    const of = (events: readonly EventIdSource[]) =>
      faultsOf((transaction) => inbox.onceBatch(transaction, "billing", events, (given) => given, nothing));
    const places = await of([id, undefined, "x"]);
    expect(places).toContain("events[1] is missing");
    expect(places).toContain("events[2] is no UUID");
    expect(places).not.toContain("events[0]");
    expect(await of(Array.from({ length: 30 }, () => "x"))).toMatch(/; and 10 more$/);
    expect(await of(Array.from({ length: 10_001 }, () => id))).toContain("more than 10000");
  });

  it.each([
    { retentionMs: 14 },
    { retentionMs: hour - 1 },
    { retentionMs: Number.NaN },
    { retentionMs: 1e15 },
  ])("is refused as a retention: %o", async (options) => {
    expect(await faultsOf((transaction) => inbox.prune(transaction, options))).toContain("retentionMs");
  });

  it.each([0, -1, 1.5, 100_001])("is refused as rowsMax: %o", async (rowsMax) => {
    const message = await faultsOf((transaction) => inbox.prune(transaction, { retentionMs: hour, rowsMax }));
    expect(message).toContain("rowsMax");
  });

  it("may be a header as Kafka brings it, in either case", async () => {
    for (const given of [Buffer.from(id), new TextEncoder().encode(id.toUpperCase()), id.toUpperCase()]) {
      const { transaction, said } = scripted([id]);
      const outcome = await inbox.once(transaction, "billing", given, async () => 1);
      expect(outcome).toEqual({ isFirst: true, result: 1 });
      expect(said.slice(1)).toEqual(["billing", id]);
    }
  });
});

describe("the work", () => {
  it("is not run for an event that is marked, and nothing else is said to the database", async () => {
    const { transaction, said } = scripted([]);
    const outcome = await inbox.once(transaction, "billing", id, async () => {
      throw new Error("ran");
    });
    expect(outcome).toEqual({ isFirst: false });
    expect(said.length).toBe(3);
  });

  it.each([
    ["rejects", () => Promise.reject(new Error("no"))],
    [
      "throws at once",
      () => {
        throw new Error("no");
      },
    ],
  ])("that %s spoils the transaction, and its own error comes out", async (_, work) => {
    const { transaction, said } = scripted([id]);
    await expect(inbox.once(transaction, "billing", id, work)).rejects.toThrow("no");
    expect(said.at(-1)).toMatch(/^select cast\('outrider - .*' as integer\)$/);
    const broken = { ...transaction, execute: () => Promise.reject(new Error("connection lost")) };
    await expect(inbox.once(broken, "billing", id, work)).rejects.toThrow("no");
  });
});

describe("an answer", () => {
  const texts = (answer: unknown) =>
    answering(async () => answer)
      .ask("", [])
      .catch((thrown: unknown) => (thrown instanceof OutriderError ? thrown.code : thrown));

  it("is read in both shapes, whatever the column is called", async () => {
    expect(await texts([{ event_id: id }])).toEqual([id]);
    expect(await texts({ rows: [{ eventId: id }], rowCount: 1 })).toEqual([id]);
    expect(await texts([])).toEqual([]);
    expect(await texts({ rows: [] })).toEqual([]);
  });

  it.each([
    undefined,
    null,
    0,
    1,
    {},
    { rows: 1 },
    { rowCount: 0 },
    [[]],
    [id],
    [{}],
    [{ event_id: 1 }],
    [{ event_id: id, consumer: "a" }],
    [[], { rowCount: 0 }],
  ])("of another shape is never taken for 'no row' (%#)", async (answer) => {
    expect(await texts(answer)).toBe("TRANSACTION_INVALID");
  });
});

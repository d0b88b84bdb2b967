import { expect, it } from "vitest";
import { topicsOf } from "../../../src/audit/topic-choice.ts";
import { parseSince, parseSpan } from "../../../src/cli/verify/spans.ts";

const routing = { topicTemplate: "shop.${aggregate_type}.v1", topicDefault: "shop.other" };
const visible = ["shop.order.v1", "shop.other", "shop..v1", "payments", "__consumer_offsets", "audit.log"];

it("derives topics from rows and settings, and takes none that is not there", () => {
  expect(topicsOf(routing, new Set(["payments", "gone"]), visible)).toEqual([
    "payments",
    "shop.order.v1",
    "shop.other",
  ]);
  expect(topicsOf({ ...routing, topicTemplate: "audit.log" }, new Set(), visible)).toEqual([
    "audit.log",
    "shop.other",
  ]);
  expect(topicsOf({ topicTemplate: "x.${aggregate_type}", topicDefault: "y" }, new Set(), visible)).toEqual(
    [],
  );
});

it("reads spans and instants, and nothing that is neither", () => {
  expect(["250ms", "10s", "15m", "2h", "1d"].map(parseSpan)).toEqual([
    250, 10_000, 900_000, 7_200_000, 86_400_000,
  ]);
  expect(["", "10", "s", "-1s", "1.5h", "10 s"].map(parseSpan)).toEqual(Array(6).fill(undefined));
  const nowMs = Date.UTC(2026, 0, 1, 12);
  expect(parseSince("15m", nowMs)).toBe(nowMs - 900_000);
  expect(parseSince("2026-01-01T12:00:00+02:00", nowMs)).toBe(nowMs - 7_200_000);
  // Without a zone it would mean something else on every machine.
  expect(
    ["2026-01-01T12:00:00", "yesterday", "2026-13-01T00:00:00Z"].map((text) => parseSince(text, nowMs)),
  ).toEqual([undefined, undefined, undefined]);
});

import { describe, expect, it } from "vitest";
import { formBatch, withoutBlocked } from "../../../src/relay/lanes.ts";
import { anEvent } from "../../support/events.ts";

const routing = { topicTemplate: "t.${aggregate_type}", topicDefault: "t" };
const nobody = () => false;

describe("lanes", () => {
  it("stop at the first event that cannot be translated; other lanes go on", () => {
    const events = [
      anEvent({ seq: "1", aggregateId: "a" }),
      anEvent({ seq: "2", aggregateId: "b" }),
      anEvent({ seq: "3", aggregateId: "a", topic: "not a topic" }),
      anEvent({ seq: "4", aggregateId: "a" }),
      anEvent({ seq: "5", aggregateId: "b" }),
    ];
    const { messages, unpublishable } = formBatch(events, routing, nobody);
    expect(messages.map(({ event }) => event.seq)).toEqual(["1", "2", "5"]);
    expect(unpublishable.map(({ event }) => event.seq)).toEqual(["3"]);
  });

  it("leave out aggregates that are blocked already", () => {
    const events = [anEvent({ seq: "1", aggregateId: "a" }), anEvent({ seq: "2", aggregateId: "b" })];
    expect(formBatch(events, routing, (id) => id === "a").messages.map(({ key }) => key)).toEqual(["b"]);
  });

  it("drop what the batch before has blocked meanwhile, and copy nothing when nothing was", () => {
    const { messages } = formBatch(
      [anEvent({ aggregateId: "a" }), anEvent({ aggregateId: "b" })],
      routing,
      nobody,
    );
    expect(withoutBlocked(messages, nobody)).toBe(messages);
    expect(withoutBlocked(messages, (id) => id === "a").map(({ key }) => key)).toEqual(["b"]);
  });
});

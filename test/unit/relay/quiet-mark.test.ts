import { describe, expect, it } from "vitest";
import { QuietMark } from "../../../src/relay/quiet-mark.ts";

describe("the mark of a quiet outbox", () => {
  it("is believed for five seconds, and then asked for again", () => {
    const quiet = new QuietMark();
    expect(quiet.at(0)).toBeNull();
    quiet.note("7", 100);
    expect(quiet.at(5_099)).toBe("7");
    expect(quiet.at(5_100)).toBeNull();
  });

  it("is none where something was found, and after something that it does not tell of", () => {
    const quiet = new QuietMark();
    quiet.note("7", 0);
    quiet.note(null, 1);
    expect(quiet.at(2)).toBeNull();
    quiet.note("7", 3);
    quiet.forget();
    expect(quiet.at(4)).toBeNull();
  });
});

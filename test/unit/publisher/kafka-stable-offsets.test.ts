/** The bytes of OffsetFetch version 7, against what Apache Kafka's own schema says. */
import { describe, expect, it } from "vitest";
import {
  decodeAnswer,
  encodeQuestion,
  OffsetFetchRefused,
} from "../../../src/publisher/kafka-stable-offsets.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

describe("OffsetFetch version 7", () => {
  it("asks for stable offsets", () => {
    const question = { groupId: "g", topic: "top", partitions: [2, 7] };
    expect(encodeQuestion(question).toString("hex")).toBe(
      hex("00  02 67  02 04 746f70  03 00000002 00000007 00  01  00").toString("hex"),
    );
  });

  it("writes lengths of more than a byte", () => {
    const encoded = encodeQuestion({ groupId: "g".repeat(200), topic: "t", partitions: [] });
    expect(encoded.subarray(0, 4).toString("hex")).toBe("00c90167");
  });

  const answer = (partition: string, error: string) =>
    hex(`00 00000000 02 04 746f70 02 ${partition} 00 00 ${error} 00`);

  it("reads a number, and that there is none", () => {
    const some = answer("00000002 000000000000002a ffffffff 01 0000", "0000");
    expect(decodeAnswer(some)).toEqual(new Map([[2, 42]]));
    const none = answer("00000002 ffffffffffffffff ffffffff 00 0000", "0000");
    expect(decodeAnswer(none)).toEqual(new Map([[2, null]]));
  });

  it("refuses an error of the partition and of the whole", () => {
    const unstable = answer("00000002 ffffffffffffffff ffffffff 01 0058", "0000");
    expect(() => decodeAnswer(unstable)).toThrow(new OffsetFetchRefused(88));
    const denied = answer("00000002 000000000000002a ffffffff 01 0000", "001e");
    expect(() => decodeAnswer(denied)).toThrow("error code 30");
  });
});

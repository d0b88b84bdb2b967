/**
 * A payload becomes the text that is stored. `JSON.stringify` alone loses values without a word: a
 * Map, an Error or a Promise becomes `{}`, a function or a symbol vanishes, NaN, Infinity and an
 * invalid Date become null, and so does undefined in a list. In an outbox that loss is found months later by somebody else,
 * so it is a fault here. Only a property that is undefined is left out, as everywhere in JavaScript.
 */
import { types } from "node:util";

/** What the column `event_payload` was migrated to. */
export type PayloadType = "json" | "jsonb" | "bytea";

/** Takes one sentence about what is wrong. */
export type Complain = (problem: string) => void;

export function isBytes(payload: unknown): payload is Uint8Array {
  return types.isUint8Array(payload);
}

/** JSON text or, for `bytea`, base64; undefined after a complaint. */
export function storeAs(type: PayloadType, payload: unknown, complain: Complain): string | undefined {
  if (isBytes(payload)) {
    if (type === "bytea") return base64Of(payload);
    complain(
      `is bytes, which a ${type} column cannot hold: pass the value itself, or migrate the table to bytea`,
    );
    return undefined;
  }
  const text = jsonOf(payload, complain);
  if (text === undefined) return undefined;
  if (type === "jsonb" && jsonbRefuses(text)) {
    complain("has the character U+0000 or half of a surrogate pair in a string, which jsonb cannot hold");
    return undefined;
  }
  return type === "bytea" ? base64Of(Buffer.from(text, "utf8")) : text;
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function jsonOf(payload: unknown, complain: Complain): string | undefined {
  let isWhole = true;
  const report = (problem: string) => {
    isWhole = false;
    complain(problem);
  };
  try {
    const text: string | undefined = JSON.stringify(
      payload,
      function (this: unknown, key: string, value: unknown) {
        const problem = lossOf(this, key, value);
        if (problem === undefined) return value;
        report(`${key === "" ? "is" : "has"} ${problem}${placeOf(key)}, which JSON cannot express`);
        return null;
      },
    );
    return isWhole ? text : undefined;
  } catch {
    // Its message quotes names out of the payload, which must not reach a log.
    report("cannot be turned into JSON: it contains itself, or one of its toJSON methods throws");
    return undefined;
  }
}

/** What would be lost without a word; `holder[key]` is what stood there before its toJSON. */
function lossOf(holder: unknown, key: string, value: unknown): string | undefined {
  switch (typeof value) {
    case "undefined":
      return key === "" || Array.isArray(holder) ? "undefined" : undefined;
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    case "bigint":
      return "a BigInt";
    case "number":
      return Number.isFinite(value) ? undefined : "a number that is not finite";
    case "object":
      if (types.isMap(value) || types.isSet(value)) return "a Map or Set";
      if (types.isPromise(value)) return "a Promise (is an await missing?)";
      if (types.isNativeError(value)) return "an Error";
      if (value === null && isInvalidDate((holder as Record<string, unknown>)[key])) return "an invalid Date";
      return undefined;
    default:
      return undefined;
  }
}

function isInvalidDate(value: unknown): boolean {
  return types.isDate(value) && Number.isNaN(value.getTime());
}

/** Names the property only when it looks like a name: keys can be data (an e-mail address). */
function placeOf(key: string): string {
  return /^[A-Za-z_$][\w$]{0,63}$/.test(key) ? ` (at "${key}")` : "";
}

/** `JSON.stringify` writes exactly these as escapes: NUL as \u0000, a lone surrogate as \ud8xx. */
function jsonbRefuses(text: string): boolean {
  return /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(text);
}

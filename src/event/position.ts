/**
 * Where an event stands in its aggregate's order: `(created_at, seq)`. Nothing else ever decides
 * about order.
 *
 * `createdAt` is PostgreSQL's own ISO 8601 text with all its microseconds, handed back to PostgreSQL
 * unchanged: a JavaScript Date would drop the last three digits and with them the order.
 */
export interface Position {
  readonly createdAt: string;
  /** A bigint as decimal text; breaks ties of `createdAt`. */
  readonly seq: string;
}

/** Microseconds since 1970: an integer below 2^53 until the year 2255. */
export type Micros = number;

/** Before everything that PostgreSQL can store. */
export const beginning: Position = { createdAt: "-infinity", seq: "0" };

/** The lowest position at a given moment: every event created before it is below. */
export function startOf(instant: Micros): Position {
  return { createdAt: isoOfMicros(instant), seq: "0" };
}

/** What was written last: a claim writes the same fence for every shard. */
let lastInstant: Micros = Number.NaN;
let lastText = "";

export function isoOfMicros(instant: Micros): string {
  if (instant === lastInstant) return lastText;
  const ms = Math.floor(instant / 1000);
  const rest = String(instant - ms * 1000).padStart(3, "0");
  lastText = new Date(ms).toISOString().replace("Z", `${rest}Z`);
  lastInstant = instant;
  return lastText;
}

const shape = /^(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d(?::\d\d)?)$/;

/** The minute that was read last: nearly every event shares it with the one before. */
let minuteText = "";
let minuteMicros: Micros = Number.NaN;

/** `YYYY-MM-DDTHH:MM:` and the place of the zone behind six digits of a second's fraction. */
const minuteLength = 17;
const zoneAt = 26;

/** The instant of an ISO text, infinities included; NaN for what a Date cannot express (years BC). */
export function microsOfIso(text: string): Micros {
  // Other lengths of the fraction are rare, and the year 10000 is far: both take the slow way.
  if (text.length <= zoneAt || text.charCodeAt(19) !== 46 || text.charCodeAt(16) !== 58) return readIso(text);
  const minute = text.slice(0, minuteLength) + text.slice(zoneAt);
  if (minute !== minuteText) {
    const start = readIso(`${text.slice(0, minuteLength)}00${text.slice(zoneAt)}`);
    if (Number.isNaN(start)) return readIso(text);
    minuteMicros = start;
    minuteText = minute;
  }
  let seconds = 0;
  for (let at = minuteLength; at < zoneAt; at += 1) {
    if (at === 19) continue;
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return readIso(text);
    seconds = seconds * 10 + digit;
  }
  return seconds < 60_000_000 ? minuteMicros + seconds : readIso(text);
}

function readIso(text: string): Micros {
  if (text === "-infinity") return Number.NEGATIVE_INFINITY;
  if (text === "infinity") return Number.POSITIVE_INFINITY;
  const match = shape.exec(text);
  if (match === null) return Number.NaN;
  const zone = match[3] as string;
  const ms = Date.parse(`${match[1]}${zone.length === 3 ? `${zone}:00` : zone}`);
  return ms * 1000 + Number((match[2] ?? "").padEnd(6, "0"));
}

/** Negative when `a` stands before `b`, positive when after, 0 when they are the same. */
export function comparePositions(a: Position, b: Position): number {
  if (a.createdAt !== b.createdAt) {
    const difference = microsOfIso(a.createdAt) - microsOfIso(b.createdAt);
    if (difference !== 0 && !Number.isNaN(difference)) return difference;
  }
  const [x, y] = [BigInt(a.seq), BigInt(b.seq)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/**
 * The last line of defence of the log: no announcement carries a payload or a secret, and should a
 * driver put one into the text of an error all the same, it is struck out here.
 */
import { createHash } from "node:crypto";

export const struckOut = "[redacted]";

/** Shorter ones occur in ordinary words, and a log with holes in every line helps nobody. */
export const secretLengthMin = 6;

/** Fields that nothing here ever writes; a later mistake writes `[redacted]`. */
export const redactedPaths: readonly string[] = [
  "payload",
  "event_payload",
  "value",
  "password",
  "databaseUrl",
  "kafkaSaslPassword",
].flatMap((name) => [name, `*.${name}`]);

/** Strikes every occurrence of these secrets out of a text, as they are and as they stand in a URL. */
export function redactionOf(secrets: readonly (string | null)[]): (text: string) => string {
  const forms = secrets.flatMap((secret) => {
    if (secret === null) return [];
    return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  });
  const sought = [...new Set(forms)].filter(({ length }) => length >= secretLengthMin);
  // The longest first: a shorter one inside it would leave the rest standing.
  sought.sort((a, b) => b.length - a.length);
  return (text) => sought.reduce((rest, secret) => rest.replaceAll(secret, struckOut), text);
}

/** How event ids and aggregate ids are written: as they are, as a hash, or not at all. */
export type IdStyle = "plain" | "hashed" | "none";

export function idWriter(style: IdStyle): (id: string) => string | undefined {
  if (style === "plain") return (id) => id;
  if (style === "none") return () => undefined;
  // Twelve hex digits: enough to compare, and the same as `outrider verify --hash-ids` shows.
  return (id) => createHash("sha256").update(id).digest("hex").slice(0, 12);
}

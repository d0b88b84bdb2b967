/** Spans of time and instants as a person writes them on a command line. Pure. */

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of "500ms", "10s", "15m", "2h" or "1d"; undefined for anything else. */
export function parseSpan(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text.trim());
  const unit = units[match?.[2] ?? ""];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** Milliseconds since 1970 of "15m" ago, or of an ISO 8601 instant with its zone; undefined for anything else. */
export function parseSince(text: string, nowMs: number): number | undefined {
  const span = parseSpan(text);
  if (span !== undefined) return Math.max(0, nowMs - span);
  const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.test(text.trim());
  const instant = isIso ? Date.parse(text.trim()) : Number.NaN;
  return Number.isNaN(instant) ? undefined : Math.max(0, instant);
}
